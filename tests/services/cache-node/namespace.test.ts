import { expect, test } from 'vitest';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { entryBytes, madeNamespace, setOf, valueOf as valueOfEntry } from './made-namespace.ts';

const valueOf = (namespace: Namespace, key: string, nowMs = 0) => valueOfEntry(namespace.get(key, nowMs));

const keysOf = (namespace: Namespace, nowMs = 0) => {
  const page = namespace.keys({ prefix: '', limit: 1_000, cursor: undefined }, nowMs);
  return page.ok ? [...page.value.keys].toSorted() : [];
};

test('a set value is read back, replaced and deleted', () => {
  const namespace = madeNamespace();
  expect(valueOf(namespace, 'a')).toBeUndefined();
  namespace.set(setOf('a', { n: 1 }), 0);
  expect(valueOf(namespace, 'a')).toEqual({ n: 1 });
  namespace.set(setOf('a', null), 0);
  expect(valueOf(namespace, 'a')).toBeNull();
  expect(namespace.delete('a', 0)).toBe(true);
  expect(namespace.delete('a', 0)).toBe(false);
  expect(valueOf(namespace, 'a')).toBeUndefined();
});

test('an entry is served until the millisecond before its ttl ends, and not at its end', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('a', 1, { ttlMs: 10 }), 100);
  expect(valueOf(namespace, 'a', 109.9)).toBe(1);
  expect(namespace.exists('a', 110)).toBe(false);
  expect(valueOf(namespace, 'a', 110)).toBeUndefined();
});

test('an expired entry is absent for every verb, whether it was removed or not', () => {
  const verbs: Readonly<Record<string, (namespace: Namespace) => unknown>> = {
    exists: (namespace) => namespace.exists('a', 20),
    delete: (namespace) => namespace.delete('a', 20),
    touch: (namespace) => namespace.touch('a', 1_000, 20),
    keys: (namespace) => keysOf(namespace, 20).length > 0,
    'set if absent': (namespace) => !namespace.set(setOf('a', 2, { condition: { kind: 'absent' } }), 20).ok,
    increment: (namespace) => {
      const added = namespace.increment({ key: 'a', by: 1, initial: 0, ttlMs: 0 }, 20);
      return !added.ok || added.value.value !== 1;
    },
  };
  for (const [verb, meetsIt] of Object.entries(verbs)) {
    const namespace = madeNamespace();
    namespace.set(setOf('a', 7, { ttlMs: 10 }), 0);
    expect([verb, meetsIt(namespace)]).toEqual([verb, false]);
  }
});

test('a sliding entry lives on with each hit, and only with hits', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('a', 1, { ttlMs: 10, sliding: true }), 0);
  expect(valueOf(namespace, 'a', 9)).toBe(1);
  expect(namespace.exists('a', 18)).toBe(true);
  expect(valueOf(namespace, 'a', 18)).toBe(1);
  expect(valueOf(namespace, 'a', 28)).toBeUndefined();
});

test('a replaced entry has the new expiry, also when that is later or none', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('a', 1, { ttlMs: 10 }), 0);
  namespace.set(setOf('a', 2), 0);
  expect(namespace.expire(10, 1_000)).toBe(0);
  expect(valueOf(namespace, 'a', 1_000)).toBe(2);
});

test('the default ttl holds for sets without one; a ttl of 0 overrules it', () => {
  const namespace = madeNamespace();
  namespace.configure({ defaultTtlMs: 10 }, 0);
  namespace.set(setOf('a', 1), 0);
  namespace.set(setOf('b', 1, { ttlMs: 0 }), 0);
  expect(keysOf(namespace, 10)).toEqual(['b']);
});

test('touch gives a new ttl, takes it away with 0, and does not touch what is absent', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('a', 1, { ttlMs: 10 }), 0);
  expect(namespace.touch('a', 100, 5)).toBe(true);
  expect(namespace.get('a', 104)?.expiresAtMs).toBe(105);
  expect(namespace.touch('a', 0, 104)).toBe(true);
  expect(namespace.get('a', 10 ** 9)?.expiresAtMs).toBe(Infinity);
  expect(namespace.touch('b', 100, 5)).toBe(false);
});

test('the entry used longest ago goes first when there are too many', () => {
  const namespace = madeNamespace();
  namespace.configure({ entriesMax: 3 }, 0);
  for (const key of ['a', 'b', 'c']) namespace.set(setOf(key, 1), 0);
  namespace.get('a', 0);
  namespace.set(setOf('d', 1), 0);
  expect(keysOf(namespace)).toEqual(['a', 'c', 'd']);
  expect(namespace.stats(0)).toMatchObject({ entries: 3, evictions: 1, expirations: 0 });
});

test('an expired entry goes before a live one, and counts as expired', () => {
  const namespace = madeNamespace();
  namespace.configure({ entriesMax: 2 }, 0);
  namespace.set(setOf('live', 1), 0);
  namespace.set(setOf('expired', 1, { ttlMs: 5 }), 0);
  namespace.set(setOf('new', 1), 5);
  expect(keysOf(namespace, 5)).toEqual(['live', 'new']);
  expect(namespace.stats(0)).toMatchObject({ evictions: 0, expirations: 1 });
});

test('bytes count key, value and overhead, and make room for a value that grows', () => {
  const namespace = madeNamespace();
  namespace.configure({ bytesMax: 2 * entryBytes(1, 900) }, 0);
  namespace.set(setOf('a', 'x'.repeat(898)), 0);
  namespace.set(setOf('b', 'x'.repeat(898)), 0);
  expect(namespace.bytes).toBe(2 * entryBytes(1, 900));
  namespace.set(setOf('b', 'x'.repeat(899)), 0);
  expect(keysOf(namespace)).toEqual(['b']);
  expect(namespace.bytes).toBe(entryBytes(1, 901));
});

test('an entry that passes the quota alone is refused and evicts nothing', () => {
  const namespace = madeNamespace();
  namespace.configure({ bytesMax: 2_000 }, 0);
  namespace.set(setOf('a', 1), 0);
  expect(namespace.set(setOf('b', 'x'.repeat(3_000)), 0)).toMatchObject({
    ok: false,
    error: { code: 'payload_too_large' },
  });
  expect(keysOf(namespace)).toEqual(['a']);
});

test('a smaller quota holds at once', () => {
  const namespace = madeNamespace();
  for (let n = 0; n < 100; n += 1) namespace.set(setOf(`k${n}`, n), 0);
  namespace.configure({ entriesMax: 10 }, 0);
  expect(keysOf(namespace)).toHaveLength(10);
  expect(valueOf(namespace, 'k99')).toBe(99);
});

test('versions grow with every write, also over delete and clear', () => {
  const namespace = madeNamespace();
  const versions = [1, 2, 3, 4].map((n) => {
    const written = namespace.set(setOf('a', n), 0);
    if (n === 2) namespace.delete('a', 0);
    if (n === 3) namespace.clear(0);
    return written.ok ? written.value.version : 0;
  });
  expect(versions).toEqual(versions.toSorted((a, b) => a - b));
  expect(new Set(versions).size).toBe(4);
});

test('ifAbsent sets once', () => {
  const namespace = madeNamespace();
  const once = setOf('a', 1, { condition: { kind: 'absent' } });
  expect(namespace.set(once, 0)).toMatchObject({ ok: true });
  expect(namespace.set(once, 0)).toMatchObject({
    ok: false,
    error: { code: 'conflict', details: { version: 1 } },
  });
});

test('ifVersion sets over that version alone; 0 stands for absent', () => {
  const namespace = madeNamespace();
  const over = (version: number) =>
    namespace.set(setOf('a', version, { condition: { kind: 'version', version } }), 0).ok;
  expect(over(7)).toBe(false);
  expect(over(0)).toBe(true);
  expect(over(0)).toBe(false);
  expect(over(1)).toBe(true);
  expect(over(1)).toBe(false);
});

test('a counter begins at its initial value, adds, and keeps the expiry that it began with', () => {
  const namespace = madeNamespace();
  const add = (by: number, nowMs: number) =>
    namespace.increment({ key: 'a', by, initial: 10, ttlMs: 100 }, nowMs);
  expect(add(1, 0)).toMatchObject({ value: { value: 11 } });
  expect(add(-5, 50)).toMatchObject({ value: { value: 6 } });
  expect(valueOf(namespace, 'a', 99)).toBe(6);
  expect(add(1, 100)).toMatchObject({ value: { value: 11 } });
});

test.each([['text'], [1.5], [null], [{ n: 1 }], [2 ** 53], ['9'.repeat(30)]])(
  'nothing is added to %j',
  (value) => {
    const namespace = madeNamespace();
    namespace.set(setOf('a', value), 0);
    expect(namespace.increment({ key: 'a', by: 1, initial: 0, ttlMs: undefined }, 0)).toMatchObject({
      ok: false,
      error: { code: 'wrong_state' },
    });
    expect(valueOf(namespace, 'a')).toEqual(value);
  },
);

test('a sum that cannot be kept exactly is refused', () => {
  const namespace = madeNamespace();
  const add = () =>
    namespace.increment({ key: 'a', by: Number.MAX_SAFE_INTEGER, initial: 0, ttlMs: undefined }, 0);
  expect(add().ok).toBe(true);
  expect(add()).toMatchObject({ ok: false, error: { code: 'wrong_state' } });
});

test('clear leaves nothing, keeps the settings, and says how much there was', () => {
  const namespace = madeNamespace();
  namespace.configure({ entriesMax: 5 }, 0);
  for (const key of ['a', 'b']) namespace.set(setOf(key, 1, { ttlMs: 10 }), 0);
  expect(namespace.clear(0)).toBe(2);
  expect(namespace.clear(0)).toBe(0);
  expect(namespace.expire(10, 1_000)).toBe(0);
  expect(namespace.stats(0)).toMatchObject({ entries: 0, bytes: 0, entriesMax: 5 });
});

test('removal of expired entries does no more than it may', () => {
  const namespace = madeNamespace();
  for (let n = 0; n < 10; n += 1) namespace.set(setOf(`k${n}`, n, { ttlMs: n + 1 }), 0);
  expect(namespace.expire(3, 5)).toBe(3);
  expect(namespace.expire(3, 5)).toBe(2);
  expect(namespace.expire(3, 5)).toBe(0);
  expect(namespace.stats(0)).toMatchObject({ entries: 5, expirations: 5 });
});

test('the figures are those of what happened', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('a', 1), 0);
  namespace.get('a', 0);
  namespace.get('a', 0);
  namespace.get('a', 0);
  namespace.get('b', 0);
  namespace.exists('b', 0);
  namespace.delete('a', 0);
  expect(namespace.stats(0)).toMatchObject({
    hits: 3,
    misses: 1,
    hitRate: 0.75,
    sets: 1,
    deletes: 1,
    entries: 0,
  });
});

test('a cursor that is none of ours is refused by name', () => {
  const namespace = madeNamespace();
  for (const cursor of ['-1', 'A', '1.5', 'zzzzzzzz', ' 1'])
    expect(namespace.keys({ prefix: '', limit: 1, cursor }, 0)).toMatchObject({
      ok: false,
      error: { code: 'invalid_request', details: { field: 'cursor' } },
    });
});
