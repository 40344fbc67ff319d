import { expect, test } from 'vitest';
import { Tails } from '#services/telemetry-collector/tails.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';

test('readers who are gone keep nobody out once their time is over, though no record has come since', async () => {
  const clock = new ManualClock(0);
  const tails = new Tails({ publish: () => undefined, view: (entry) => entry, clock });
  const open = (inbox: string) =>
    tails.open({ inbox, kinds: undefined, source: undefined, level: undefined, max: 1, leaseMs: 30_000 });
  let opened = 0;
  while (open(`gone-${opened}`)) opened += 1;
  expect(tails.count).toBe(opened);
  await clock.advance(30_000, () => Promise.resolve());
  expect(open('new')).toBe(true);
  expect(tails.count).toBe(1);
  expect(tails.dropped).toBe(opened);
});
