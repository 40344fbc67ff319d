import fc from 'fast-check';
import { expect, test } from 'vitest';
import { retryDelayMs } from '#services/queue-broker/core/retry-policy.ts';
import { attemptsMax, delayMsMax } from '#shared/protocol/limits.ts';

const delay = fc.integer({ min: 0, max: delayMsMax });
const backoff = fc
  .tuple(delay, delay)
  .map(([a, b]) => ({ kind: 'exponential' as const, firstMs: Math.min(a, b), capMs: Math.max(a, b) }));
const attempt = fc.integer({ min: 1, max: attemptsMax });
const random01 = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const almostOne = 1 - Number.EPSILON / 2;

test('the delay never exceeds the cap, however many attempts were made, and is a whole number from 0', () => {
  fc.assert(
    fc.property(backoff, attempt, random01, (policy, made, random) => {
      const ms = retryDelayMs(policy, made, random);
      expect(Number.isSafeInteger(ms)).toBe(true);
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(ms).toBeLessThanOrEqual(policy.capMs);
    }),
  );
});

test('the jitter is full: the lowest draw waits not at all, the highest the whole ceiling', () => {
  fc.assert(
    fc.property(backoff, attempt, (policy, made) => {
      const ceilingMs = Math.min(policy.capMs, policy.firstMs * 2 ** (made - 1));
      expect(retryDelayMs(policy, made, 0)).toBe(0);
      expect(retryDelayMs(policy, made, almostOne)).toBe(ceilingMs);
    }),
  );
});

test('every delay of a small range is drawn', () => {
  const policy = { kind: 'exponential', firstMs: 3, capMs: 1_000 } as const;
  const drawn = new Set(Array.from({ length: 700 }, (_, draw) => retryDelayMs(policy, 2, draw / 700)));
  expect([...drawn].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test('the ceiling doubles with each attempt until the cap', () => {
  const policy = { kind: 'exponential', firstMs: 1_000, capMs: 10_000 } as const;
  const ceilings = [1, 2, 3, 4, 5, 6].map((made) => retryDelayMs(policy, made, almostOne));
  expect(ceilings).toEqual([1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
});

test('a fixed back-off is the same every time', () => {
  fc.assert(
    fc.property(delay, attempt, random01, (delayMs, made, random) => {
      expect(retryDelayMs({ kind: 'fixed', delayMs }, made, random)).toBe(delayMs);
    }),
  );
});
