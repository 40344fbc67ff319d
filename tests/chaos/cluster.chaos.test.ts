import { expect, test } from 'vitest';
import { runChaos } from './chaos-run.ts';

const durationMs = 13_000;

// `npm run chaos -- --minutes N` is the same for as long as one likes.
test(
  'while processes of the whole cluster are killed and frozen, nothing is lost, doubled or stale',
  { timeout: 240_000 },
  async () => {
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`SEED=${seed}`);
    const { blows, handled, cacheCalls, increments, faults } = await runChaos({ durationMs, seed });
    expect(faults).toEqual([]);
    expect(blows.length).toBeGreaterThan(1);
    for (const count of [handled, cacheCalls, increments]) expect(count).toBeGreaterThan(0);
  },
);
