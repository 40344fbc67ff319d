import { latencies } from '#tests/bench/timed-calls.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { zipfDraws } from './zipf.ts';
import type { CacheSystem } from './cache-system.ts';
import type { Mix, MixOutcome, Tasks } from './cache-task.ts';

const valueBytes = 128;

export const keyOf = (index: number): string => `user-${index}`;

/** A value of 128 bytes that says whose it is. */
export const valueOf = (key: string, write: number): string => `${key}:${write}:`.padEnd(valueBytes, 'x');

const isValueOf = (value: string | undefined, key: string): boolean =>
  value !== undefined &&
  value.length === valueBytes &&
  value.startsWith(key) &&
  value.charCodeAt(key.length) === 58;

export async function fill(system: CacheSystem, { keys }: Tasks['fill']['input']): Promise<undefined> {
  for (let from = 0; from < keys; from += 500) {
    const part = Array.from({ length: Math.min(500, keys - from) }, (_, index) => keyOf(from + index));
    await Promise.all(part.map((key) => system.set(key, valueOf(key, 0))));
  }
}

/** Keys and the order in which they are asked for are made before the clock runs. */
export async function mix(system: CacheSystem, options: Mix): Promise<MixOutcome> {
  const { count, callers, writes, timed } = options;
  const names = Array.from({ length: options.keys }, (_, index) => keyOf(index));
  const draws = drawsOf(options);
  const isWrite = writeMarks(count, writes, options.seed);
  const times = timed ? new Float64Array(count) : undefined;
  const nearBefore = system.nearHits();
  let next = 0;
  let reads = 0;
  let wrong = 0;
  const caller = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const key = names[draws[index] ?? 0] ?? '';
      const at = times === undefined ? 0 : performance.now();
      if (isWrite[index] === 1) await system.set(key, valueOf(key, index));
      else {
        reads += 1;
        if (!isValueOf(await system.get(key), key)) wrong += 1;
      }
      if (times !== undefined) times[index] = performance.now() - at;
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = (performance.now() - started) / 1_000;
  if (wrong > 0) throw new Error(`${wrong} of ${reads} reads did not return a value of their key`);
  return {
    seconds,
    ...(times === undefined ? {} : { latencies: latencies([...times]) }),
    nearHitRatio: reads === 0 ? 0 : (system.nearHits() - nearBefore) / reads,
  };
}

export async function getMany(
  system: CacheSystem,
  { count, callers, keys, size, seed }: Tasks['get-many']['input'],
): Promise<MixOutcome> {
  const names = Array.from({ length: keys }, (_, index) => keyOf(index));
  const draws = drawsOf({ count, keys, seed });
  const times: number[] = [];
  let next = 0;
  let wrong = 0;
  const caller = async (): Promise<void> => {
    while (next < count) {
      const from = next;
      next += size;
      const asked = Array.from(
        { length: Math.min(size, count - from) },
        (_, index) => names[draws[from + index] ?? 0] ?? '',
      );
      const at = performance.now();
      const values = await system.getMany(asked);
      times.push(performance.now() - at);
      for (const [index, key] of asked.entries()) if (!isValueOf(values[index], key)) wrong += 1;
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = (performance.now() - started) / 1_000;
  if (wrong > 0) throw new Error(`${wrong} of ${count} values were not those of their keys`);
  return { seconds, latencies: latencies(times), nearHitRatio: 0 };
}

function drawsOf({ count, keys, seed, zipf }: Pick<Mix, 'count' | 'keys' | 'seed' | 'zipf'>): Int32Array {
  if (zipf !== undefined) return zipfDraws({ count, keys, exponent: zipf, seed });
  const random = new SeededRandom(seed);
  return Int32Array.from({ length: count }, () => random.integer(0, keys - 1));
}

function writeMarks(count: number, share: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed + 1);
  return Uint8Array.from({ length: count }, () => (random.chance(share) ? 1 : 0));
}
