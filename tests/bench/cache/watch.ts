import { setTimeout as delay } from 'node:timers/promises';
import { type Latencies, latencies, monotonicMicros } from '#tests/bench/timed-calls.ts';
import type { CacheSystem } from './cache-system.ts';
import type { Tasks } from './cache-task.ts';

const watchedKey = 'watched';

/** Values are the time at which they were sent, by the clock that all processes of a machine share. */
export async function write(
  system: CacheSystem,
  { times, everyMs }: Tasks['write']['input'],
): Promise<undefined> {
  for (let written = 0; written < times; written += 1) {
    await system.set(watchedKey, String(monotonicMicros()));
    await delay(everyMs);
  }
}

/** Until `times` different values were read. One that was overwritten before it was read is not missed. */
export async function watch(system: CacheSystem, { times }: Tasks['watch']['input']): Promise<Latencies> {
  const ages: number[] = [];
  let last = await system.get(watchedKey);
  while (ages.length < times) {
    const value = await system.get(watchedKey);
    if (value !== undefined && value !== last) {
      ages.push((monotonicMicros() - Number(value)) / 1_000);
      last = value;
    }
    // A near hit resolves without the event loop: without this nothing else would be heard.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return latencies(ages);
}
