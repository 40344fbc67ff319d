import { SeededRandom } from '#tests/support/seeded-random.ts';

export interface ZipfOptions {
  readonly count: number;
  readonly keys: number;
  /** 0.99 is that of YCSB; must be positive. */
  readonly exponent: number;
  readonly seed: number;
}

/**
 * Keys as caches meet them: the one of rank r is drawn in proportion to 1 / r^exponent. Ranks are strewn over the
 * keys, so that neighbours are not alike. By inversion of the exact distribution: O(keys + count × log keys).
 */
export function zipfDraws({ count, keys, exponent, seed }: ZipfOptions): Int32Array {
  const random = new SeededRandom(seed);
  const cumulated = new Float64Array(keys);
  let sum = 0;
  for (let rank = 0; rank < keys; rank += 1) {
    sum += 1 / (rank + 1) ** exponent;
    cumulated[rank] = sum;
  }
  const strewn = shuffled(keys, random);
  const draws = new Int32Array(count);
  for (let draw = 0; draw < count; draw += 1)
    draws[draw] = strewn[firstAtLeast(cumulated, random.next01() * sum)] ?? 0;
  return draws;
}

function firstAtLeast(sorted: Float64Array, wanted: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Fisher and Yates. */
function shuffled(length: number, random: SeededRandom): Int32Array {
  const order = Int32Array.from({ length }, (_, index) => index);
  for (let index = length - 1; index > 0; index -= 1) {
    const other = random.integer(0, index);
    const kept = order[index] ?? 0;
    order[index] = order[other] ?? 0;
    order[other] = kept;
  }
  return order;
}
