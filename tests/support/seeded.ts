/** Numbers in [0, 1) from a seed (mulberry32), so that a run can be repeated. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The seed of this run: `SEED` repeats one. Printed, since a failure is of no use without it. */
export function chosenSeed(): number {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`SEED=${seed}`);
  return seed;
}

/** Moments for `count` blows, each in a share of the work of its own, so that no two fall together. */
export const moments = (count: number, random01: () => number): readonly number[] =>
  Array.from({ length: count }, (_, index) => 0.03 + (0.92 * (index + random01())) / count);
