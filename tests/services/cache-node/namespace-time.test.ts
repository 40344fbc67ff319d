import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jitteredTtl } from '#services/cache-node/core/expiry.ts';
import { LatencyHistogram } from '#services/cache-node/core/latency-histogram.ts';
import { madeNamespace, setOf, valueOf } from './made-namespace.ts';

test('in its grace an entry is stale for get, and gone for everything else', () => {
  const made = () => {
    const namespace = madeNamespace();
    namespace.set(setOf('k', 7, { ttlMs: 100, graceMs: 50 }), 0);
    return namespace;
  };
  expect(valueOf(made().get('k', 149.9))).toBe(7);
  expect(made().get('k', 150)).toBeUndefined();
  expect(made().exists('k', 100)).toBe(false);
  expect(made().touch('k', 1_000, 100)).toBe(false);
  expect(made().delete('k', 100)).toBe(false);
  expect(made().keys({ prefix: '', limit: 10, cursor: undefined }, 100)).toMatchObject({
    value: { keys: [] },
  });
  expect(made().increment({ key: 'k', by: 1, initial: 0, ttlMs: 0 }, 100)).toMatchObject({
    value: { value: 1 },
  });
  expect(made().set(setOf('k', 1, { condition: { kind: 'absent' } }), 100).ok).toBe(true);
  expect(made().set(setOf('k', 1, { condition: { kind: 'version', version: 1 } }), 100).ok).toBe(false);
});

test('a deleted entry is not served from its grace', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('k', 7, { ttlMs: 100, graceMs: 50 }), 0);
  namespace.delete('k', 110);
  expect(namespace.get('k', 111)).toBeUndefined();
});

test('the default grace holds for sets without one', () => {
  const namespace = madeNamespace();
  namespace.configure({ defaultTtlMs: 10, defaultGraceMs: 10 }, 0);
  namespace.set(setOf('a', 1), 0);
  namespace.set(setOf('b', 1, { graceMs: 0 }), 0);
  expect([namespace.get('a', 15) === undefined, namespace.get('b', 15) === undefined]).toEqual([false, true]);
  expect(namespace.expire(10, 20)).toBe(1);
});

test('an entry is never served at or after the millisecond at which it ends, whatever the ttl, grace and time', () => {
  const ms = fc.integer({ min: 1, max: 10 ** 9 });
  const start = fc.double({ min: 1.6e12, max: 2e12, noNaN: true });
  fc.assert(
    fc.property(start, ms, fc.oneof(fc.constant(0), ms), (startMs, ttlMs, graceMs) => {
      const namespace = madeNamespace();
      namespace.set(setOf('k', 1, { ttlMs, graceMs }), startMs);
      const end = startMs + ttlMs;
      expect(namespace.exists('k', end)).toBe(false);
      expect(namespace.get('k', end + graceMs)).toBeUndefined();
    }),
  );
});

test('a ttl is shortened by its jitter at most, and never lengthened', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 ** 9 }),
      fc.double({ min: 0, max: 0.5, noNaN: true }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (ttlMs, jitter, random01) => {
        const shortened = jitteredTtl(ttlMs, jitter, random01);
        expect(Number.isInteger(shortened)).toBe(true);
        expect(shortened).toBeLessThanOrEqual(ttlMs);
        expect(shortened).toBeGreaterThanOrEqual(ttlMs * (1 - jitter));
      },
    ),
  );
  expect(jitteredTtl(0, 0.5, 0.9)).toBe(0);
});

test('what was set together expires apart where the namespace says so; a sliding ttl is left alone', () => {
  let draw = 0;
  const namespace = madeNamespace({ random01: () => (draw = (draw + 0.1) % 1) });
  namespace.configure({ ttlJitter: 0.5 }, 0);
  const ends = ['a', 'b', 'c'].map((key) => {
    namespace.set(setOf(key, 1, { ttlMs: 1_000 }), 0);
    return namespace.get(key, 0)?.expiresAtMs;
  });
  expect(new Set(ends).size).toBe(3);
  namespace.set(setOf('s', 1, { ttlMs: 1_000, sliding: true }), 0);
  expect(namespace.get('s', 0)?.expiresAtMs).toBe(1_000);
});

test('an increment keeps the tags and the grace of its counter', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('n', 1, { ttlMs: 10, graceMs: 10, tags: ['t'] }), 0);
  namespace.increment({ key: 'n', by: 1, initial: 0, ttlMs: undefined }, 5);
  expect(namespace.get('n', 15)).toMatchObject({ expiresAtMs: 10, graceMs: 10, tags: ['t'] });
  namespace.invalidateTags(['t']);
  expect(namespace.get('n', 16)).toBeUndefined();
});

test('percentiles are those of the last minutes, an eighth off at most', () => {
  const histogram = new LatencyHistogram();
  expect(histogram.percentiles([0.5, 0.99], 0)).toEqual([0, 0]);
  for (let n = 1; n <= 1_000; n += 1) histogram.record(n / 100, n);
  const [p50 = 0, p99 = 0] = histogram.percentiles([0.5, 0.99], 1_000);
  expect(p50).toBeGreaterThanOrEqual(5);
  expect(p50).toBeLessThan(5 * 1.125);
  expect(p99).toBeGreaterThanOrEqual(9.9);
  expect(p99).toBeLessThan(9.9 * 1.125);
  for (let n = 0; n < 100; n += 1) histogram.record(0.01, 70_000 + n);
  expect(histogram.percentiles([0.99], 70_100)[0]).toBeGreaterThan(9);
  expect(histogram.percentiles([0.99], 140_000)[0]).toBeLessThan(0.012);
  expect(histogram.percentiles([0.99], 400_000)).toEqual([0]);
});
