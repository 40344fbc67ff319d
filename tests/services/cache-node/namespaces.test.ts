import { expect, test } from 'vitest';
import { Namespaces } from '#services/cache-node/core/namespaces.ts';
import { cacheNamespacesMax } from '#shared/protocol/limits.ts';
import { setOf, valueOf } from './made-namespace.ts';

function countedVersions(from: number) {
  let version = from;
  return {
    next: () => (version += 1),
    raise: (seen: number) => {
      version = Math.max(version, seen);
    },
  };
}

const made = (bytesMax = 10 ** 9) =>
  new Namespaces({
    versions: countedVersions(1_000),
    bytesMax,
    epoch: 'run',
    random01: () => 0.5,
    hashSecret: [1, 2],
  });

function opened(namespaces: Namespaces, name: string) {
  const namespace = namespaces.open(name);
  if (!namespace.ok) throw new Error(namespace.error.message);
  return namespace.value;
}

test('namespaces know nothing of each other', () => {
  const namespaces = made();
  opened(namespaces, 'a').set(setOf('k', 1), 0);
  expect(opened(namespaces, 'b').get('k', 0)).toBeUndefined();
  expect(valueOf(opened(namespaces, 'a').get('k', 0))).toBe(1);
});

test('versions begin above the floor and are never given twice', () => {
  const namespaces = made();
  const versions = ['a', 'b', 'a'].map((name) => {
    const written = opened(namespaces, name).set(setOf('k', 1), 0);
    return written.ok ? written.value.version : 0;
  });
  expect(versions).toEqual([1_001, 1_002, 1_003]);
});

test('a namespace that holds nothing makes room for a new one; when all hold something it is refused', () => {
  const namespaces = made();
  for (let n = 0; n < cacheNamespacesMax; n += 1) {
    const namespace = opened(namespaces, `n${n}`);
    if (n > 0) namespace.set(setOf('k', 1), 0);
  }
  opened(namespaces, 'new').set(setOf('k', 1), 0);
  expect(namespaces.open('another')).toMatchObject({ ok: false, error: { code: 'unavailable' } });
  expect(namespaces.open('n1')).toMatchObject({ ok: true });
  expect(namespaces.stats(0).namespaces).toHaveLength(cacheNamespacesMax);
});

test('a configured namespace is not dropped for being empty', () => {
  const namespaces = made();
  opened(namespaces, 'configured').configure({ entriesMax: 7 }, 0);
  for (let n = 0; n < 2 * cacheNamespacesMax; n += 1) opened(namespaces, `n${n}`);
  expect(opened(namespaces, 'configured').stats(0).entriesMax).toBe(7);
});

test('a node that holds too much takes it from the largest namespace', () => {
  const namespaces = made(10_000);
  opened(namespaces, 'small').set(setOf('k', 'x'.repeat(1_000)), 0);
  const large = opened(namespaces, 'large');
  for (let n = 0; n < 10; n += 1) {
    large.set(setOf(`k${n}`, 'x'.repeat(1_000)), 0);
    namespaces.keepWithinBytes(0);
    expect(namespaces.stats(0).bytes).toBeLessThanOrEqual(10_000);
  }
  expect(opened(namespaces, 'small').exists('k', 0)).toBe(true);
  expect(large.exists('k0', 0)).toBe(false);
  expect(large.exists('k9', 0)).toBe(true);
});

test('expired entries of all namespaces are removed, a bounded number at a time', () => {
  const namespaces = made();
  for (const name of ['a', 'b', 'c'])
    for (let n = 0; n < 5; n += 1) opened(namespaces, name).set(setOf(`k${n}`, 1, { ttlMs: 10 }), 0);
  expect(namespaces.expire(7, 9)).toBe(0);
  expect(namespaces.expire(7, 10)).toBe(7);
  expect(namespaces.expire(7, 10)).toBe(7);
  expect(namespaces.expire(7, 10)).toBe(1);
  expect(namespaces.stats(0)).toMatchObject({ entries: 0, bytes: 0, expirations: 15 });
});

test('the sums are over all namespaces', () => {
  const namespaces = made();
  expect(namespaces.stats(0)).toMatchObject({ entries: 0, hitRate: 0, namespaces: [] });
  opened(namespaces, 'a').set(setOf('k', 1), 0);
  opened(namespaces, 'a').get('k', 0);
  opened(namespaces, 'b').get('k', 0);
  expect(namespaces.stats(0)).toMatchObject({ entries: 1, sets: 1, hits: 1, misses: 1, hitRate: 0.5 });
});

test('waits that end together are ended step by step without a pause, as expired entries are', () => {
  const namespaces = made();
  const namespace = opened(namespaces, 'n');
  let late = 0;
  const waiter = { answer: () => (late += 1) };
  namespace.load('k', { leaseMs: 60_000, waitMs: 0, waiter }, 0);
  for (let n = 0; n < 25; n += 1) namespace.load('k', { leaseMs: 60_000, waitMs: 50, waiter }, 0);
  namespace.set(setOf('entry', 1, { ttlMs: 50 }), 0);
  // A full step says that more is due.
  expect([namespaces.expire(10, 50), late]).toEqual([10, 10]);
  expect([namespaces.expire(10, 50), late]).toEqual([10, 20]);
  expect([namespaces.expire(10, 50), late]).toEqual([6, 25]);
  expect(namespace.stats(50).entries).toBe(0);
});
