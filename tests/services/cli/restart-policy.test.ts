import fc from 'fast-check';
import { expect, test } from 'vitest';

import { afterCrash, neverCrashed } from '#services/cli/restart-policy.ts';

test('each crash in a row doubles the delay, from 200 ms to 10 s', () => {
  let history = neverCrashed;
  const delays = Array.from({ length: 8 }, () => {
    const next = afterCrash(history, 10);
    history = next.history;
    return next.delayMs;
  });
  expect(delays).toEqual([200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
});

test('a process that ran well for a minute is started again soon', () => {
  const worn = { crashesInARow: 20 };
  expect(afterCrash(worn, 59_999).delayMs).toBe(10_000);
  expect(afterCrash(worn, 60_000)).toEqual({ delayMs: 200, history: { crashesInARow: 1 } });
});

test('the delay stays within its bounds, however often and late it crashed', () => {
  fc.assert(
    fc.property(fc.nat(5_000), fc.nat(1_000_000), (crashesInARow, ranMs) => {
      const { delayMs } = afterCrash({ crashesInARow }, ranMs);
      expect(delayMs).toBeGreaterThanOrEqual(200);
      expect(delayMs).toBeLessThanOrEqual(10_000);
    }),
  );
});
