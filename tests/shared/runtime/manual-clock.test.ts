import { expect, test } from 'vitest';
import fc from 'fast-check';
import { ManualClock } from '#shared/runtime/manual-clock.ts';

const atOnce = () => Promise.resolve();

test('timers run at their moments and in their order, those that are cancelled never', async () => {
  const delays = fc.array(fc.record({ delayMs: fc.integer({ min: 0, max: 20 }), cancelled: fc.boolean() }));
  await fc.assert(
    fc.asyncProperty(delays, fc.integer({ min: 0, max: 20 }), async (timers, passMs) => {
      const clock = new ManualClock(1_000);
      const ran: [number, number][] = [];
      const cancels = timers.map(({ delayMs }, n) =>
        clock.after(delayMs, () => ran.push([n, clock.nowMs()])),
      );
      for (const [n, { cancelled }] of timers.entries()) if (cancelled) cancels[n]?.();
      await clock.advance(passMs, atOnce);
      const expected = timers
        .map(({ delayMs, cancelled }, n) => ({ n, delayMs, cancelled }))
        .filter(({ delayMs, cancelled }) => !cancelled && delayMs <= passMs)
        .toSorted((a, b) => a.delayMs - b.delayMs || a.n - b.n)
        .map(({ n, delayMs }) => [n, 1_000 + delayMs]);
      expect(ran).toEqual(expected);
      expect(clock.nowMs()).toBe(1_000 + passMs);
      expect(clock.count).toBe(timers.filter((one) => !one.cancelled).length - expected.length);
    }),
  );
});

test('what a timer sets off within the time runs as well, each after what was before it has settled', async () => {
  const clock = new ManualClock(0);
  const ran: string[] = [];
  clock.after(10, () => {
    ran.push(`first at ${clock.monotonicMs()}`);
    clock.after(5, () => ran.push(`second at ${clock.monotonicMs()}`));
    clock.after(6, () => ran.push('too late'));
  });
  await clock.advance(15, () => {
    ran.push('settled');
    return Promise.resolve();
  });
  expect(ran).toEqual(['settled', 'first at 10', 'settled', 'second at 15', 'settled']);
  expect(clock.nextInMs).toBe(1);
  clock.clear();
  expect(clock.nextInMs).toBeUndefined();
});
