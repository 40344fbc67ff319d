import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { simulateTieredCluster } from './tiered-cluster-simulation.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  // The circuit breaker draws how long it waits.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('nobody reads what was deleted or overwritten, whatever becomes of nodes, slots and Redis', async () => {
  const sum = { answered: 0, hits: 0, outages: 0, losses: 0, refused: 0, unheard: 0 };
  const only = process.env['SEED'];
  const seeds = only === undefined ? Array.from({ length: 40 }, (_, index) => index + 1) : [Number(only)];
  for (const seed of seeds) {
    const run = await simulateTieredCluster(seed, (nowMs) => vi.setSystemTime(nowMs)).catch(
      (error: unknown) => {
        throw new Error(`seed ${seed} fails; replay it with SEED=${seed}`, { cause: error });
      },
    );
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += run[name];
  }
  console.log(JSON.stringify(sum));
  expect(sum.hits).toBeGreaterThan(seeds.length * 100);
  expect(sum.outages).toBeGreaterThan(seeds.length);
}, 300_000);
