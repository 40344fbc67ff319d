import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseBackoff, readItemOptions } from '#services/queue-broker/core/item-options.ts';
import { formatDuration } from '#shared/protocol/durations.ts';
import { delayMsMax } from '#shared/protocol/limits.ts';
import { priorities } from '#shared/protocol/queue-schemas.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { value } from './made-table.ts';

const ms = fc.integer({ min: 1, max: delayMsMax });

test('without options an item is normal, and all else is for the queue to say', () => {
  expect(value(readItemOptions({}))).toEqual({
    band: 2,
  });
});

test('each priority is its band', () => {
  expect(priorities.map((priority) => value(readItemOptions({ priority })).band)).toEqual([0, 1, 2, 3]);
});

test('durations mean the same as text and as milliseconds', () => {
  fc.assert(
    fc.property(ms, ms, ms, (delay, timeout, expires) => {
      const text = readItemOptions({
        delay: formatDuration(delay),
        timeout: formatDuration(timeout),
        expires: formatDuration(expires),
      });
      expect(value(text)).toMatchObject({ delayMs: delay, timeoutMs: timeout, expiresMs: expires });
      expect(readItemOptions({ delay, timeout, expires })).toEqual(text);
    }),
  );
});

test('a time means the same as text and as milliseconds', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9_999_999_999_999 }), (runAt) => {
      expect(value(readItemOptions({ runAt: formatTime(runAt) })).runAt).toBe(runAt);
      expect(value(readItemOptions({ runAt })).runAt).toBe(runAt);
    }),
  );
});

test('a delay of nothing is a delay; a time-out or an expiry of nothing is refused', () => {
  expect(value(readItemOptions({ delay: '0s' })).delayMs).toBe(0);
  expect(readItemOptions({ timeout: '0s' })).toMatchObject({ error: { details: { field: 'timeout' } } });
  expect(readItemOptions({ expires: 0 })).toMatchObject({ error: { details: { field: 'expires' } } });
});

test.each(['delay', 'timeout', 'expires'] as const)('%s is ten years at most', (name) => {
  expect(readItemOptions({ [name]: delayMsMax }).ok).toBe(true);
  expect(readItemOptions({ [name]: delayMsMax + 1 })).toMatchObject({ error: { details: { field: name } } });
  expect(readItemOptions({ [name]: '999999999999d' }).ok).toBe(false);
});

test('delay and runAt do not stand side by side', () => {
  expect(readItemOptions({ delay: 1, runAt: 1 })).toMatchObject({ error: { details: { field: 'runAt' } } });
});

test.each(['key', 'group'] as const)('a %s that UTF-8 cannot carry is refused', (name) => {
  expect(readItemOptions({ [name]: 'half a pair: \ud83d' })).toMatchObject({
    error: { code: 'invalid_request', details: { field: name } },
  });
  expect(readItemOptions({ [name]: 'a whole one: \ud83d\ude00' }).ok).toBe(true);
});

test('a day that does not exist is refused', () => {
  expect(readItemOptions({ runAt: '2026-02-31T25:00:00Z' })).toMatchObject({
    error: { code: 'invalid_request', details: { field: 'runAt' } },
  });
});

test('a back-off is read with its first delay and its cap', () => {
  expect(parseBackoff('fixed:5s')).toEqual({ kind: 'fixed', delayMs: 5_000 });
  expect(parseBackoff('exponential:250ms:2h')).toEqual({
    kind: 'exponential',
    firstMs: 250,
    capMs: 7_200_000,
  });
});

test('a back-off whose first delay passes its cap, or whose part passes ten years, is refused', () => {
  expect(parseBackoff('exponential:2s:1s')).toBeUndefined();
  expect(parseBackoff('fixed:999999999d')).toBeUndefined();
  expect(parseBackoff('exponential:1s:999999999d')).toBeUndefined();
  expect(readItemOptions({ backoff: 'exponential:2s:1s' })).toMatchObject({
    error: { details: { field: 'backoff' } },
  });
});
