import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { simulateTier } from './tier-simulation.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] }));
afterEach(() => vi.useRealTimers());

test('no caller waits beyond its deadline or sees what was deleted or overwritten, whatever becomes of backend and node', async () => {
  const sum = { calls: 0, misses: 0, outages: 0, crashes: 0 };
  const only = process.env['SEED'];
  const seeds = only === undefined ? Array.from({ length: 150 }, (_, index) => index + 1) : [Number(only)];
  for (const seed of seeds) {
    const simulated = await simulateTier(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed} fails; replay it with SEED=${seed}`, { cause: error });
    });
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += simulated[name];
  }
  // The faults were there.
  expect(sum.outages).toBeGreaterThan(seeds.length / 2);
  expect(sum.crashes).toBeGreaterThan(seeds.length / 2);
}, 120_000);

test('a node with room for half of the keys misses none of them while its backend is well, whenever it crashes', async () => {
  for (let seed = 1; seed <= 50; seed += 1)
    expect(await simulateTier(seed, 'fine')).toMatchObject({ misses: 0, outages: 0 });
}, 120_000);
