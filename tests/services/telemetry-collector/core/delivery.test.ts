import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outcomeOf, retryAfterMs, retryDelayMs } from '#services/telemetry-collector/core/delivery.ts';

const answer = (
  status: number,
  more: { contentType?: string; retryAfter?: string; bodyBytes?: number } = {},
) =>
  outcomeOf(
    {
      status,
      contentType: more.contentType,
      retryAfter: more.retryAfter,
      bodyBytes: more.bodyBytes ?? 0,
      encoding: 'protobuf',
    },
    0,
  );

test('no status other than a refusal of the content loses a record', () => {
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 599 }), (status) => {
      const { kind } = answer(status);
      if (status >= 200 && status < 300) expect(kind).toBe('accepted');
      else if ([400, 413, 422].includes(status)) expect(kind).toBe('refused');
      else expect(kind).toBe('retry');
    }),
  );
});

test('a success with a body is one only when the body is protobuf', () => {
  expect(answer(200, { contentType: 'application/x-protobuf', bodyBytes: 2 }).kind).toBe('accepted');
  expect(answer(200, { contentType: 'text/html', bodyBytes: 2 }).kind).toBe('retry');
  expect(answer(200, { bodyBytes: 2 }).kind).toBe('retry');
});

test('Retry-After is read as seconds and as a date, and no longer than an hour', () => {
  expect(retryAfterMs('3', 0)).toBe(3_000);
  expect(retryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 4_000)).toBe(6_000);
  expect(retryAfterMs('Thu, 01 Jan 1970 00:00:10 GMT', 40_000)).toBe(0);
  expect(retryAfterMs('999999', 0)).toBe(3_600_000);
  expect(retryAfterMs('soon', 0)).toBeUndefined();
  expect(answer(429, { retryAfter: '7' })).toEqual({ kind: 'retry', reason: 'status 429', afterMs: 7_000 });
});

test('the delay never exceeds its cap above what the receiver asked for, however many attempts were made', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.nat(3_600_000),
      (attempt, random01, afterMs) => {
        const delay = retryDelayMs(attempt, random01, afterMs);
        expect(delay).toBeGreaterThanOrEqual(afterMs);
        expect(delay).toBeLessThanOrEqual(afterMs + 30_000);
      },
    ),
  );
});
