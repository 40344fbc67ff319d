import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Simulation, simulateFileCluster } from './file-cluster-simulation.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
  // The circuit breaker draws how long it waits.
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function runAll(isHealthy: boolean, count: number) {
  const sum = { answered: 0, hits: 0, outages: 0, returns: 0, losses: 0, refused: 0, unheard: 0, missed: 0 };
  const only = process.env['SEED'];
  const seeds = only === undefined ? Array.from({ length: count }, (_, n) => n + 1) : [Number(only)];
  for (const seed of seeds) {
    const run = await simulateFileCluster(seed, isHealthy, (nowMs) => vi.setSystemTime(nowMs)).catch(
      (error: unknown) => {
        throw new Error(`seed ${seed} fails; replay it with SEED=${seed}`, { cause: error });
      },
    );
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += run[name];
  }
  console.log(JSON.stringify(sum));
  expect(sum.hits).toBeGreaterThan(seeds.length * 100);
  return { ...sum, seeds: seeds.length };
}

test('nothing that was answered is lost where nodes only join and leave, be it all of them at once', async () => {
  const { outages, returns, seeds } = await runAll(true, 8);
  expect(outages).toBe(0);
  expect(returns).toBeGreaterThanOrEqual(Math.floor(seeds / 2));
}, 300_000);

test('nobody reads what was deleted or overwritten, whatever becomes of nodes, slots, disks and the map', async () => {
  const { outages, losses, seeds } = await runAll(false, 20);
  expect(outages).toBeGreaterThan(seeds);
  expect(losses).toBeGreaterThan(seeds / 4);
}, 300_000);

test('a file that is void, and could be neither emptied nor noted, is void still where all left meanwhile', async () => {
  const answer = await new Simulation(1, false, (nowMs) => vi.setSystemTime(nowMs)).voidThatCannotBeNoted();
  expect(answer).toMatchObject({ hit: false });
});
