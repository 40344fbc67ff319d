import { expect, test } from 'vitest';
import type { Change, EntryRecord } from '#services/cache-node/core/residence.ts';
import { EventLog } from '#services/cache-node/core/event-log.ts';
import { cacheEventKeysMax, cacheEventsKeptMax, cacheTagsMax } from '#shared/protocol/limits.ts';
import { entryBytes, madeNamespace, setOf, stored, valueOf } from './made-namespace.ts';

const record = (key: string, version: number, given: Partial<EntryRecord> = {}): EntryRecord => ({
  key,
  value: stored(key),
  version,
  createdAtMs: 0,
  expiresAtMs: Infinity,
  slidingMs: 0,
  graceMs: 0,
  tags: [],
  fillMs: 0,
  ...given,
});

/** A namespace and what it notes. */
function heard() {
  const changes: Change[] = [];
  return { changes, namespace: madeNamespace({ note: (change) => changes.push(change) }) };
}

test('entries with an invalidated tag are gone, those set later are not', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('a', 1, { tags: ['t', 'u'] }), 0);
  namespace.set(setOf('b', 1, { tags: ['u'] }), 0);
  namespace.set(setOf('c', 1), 0);
  expect(namespace.invalidateTags(['t', 'unknown'])).toBe(1);
  expect(namespace.keys({ prefix: '', limit: 10, cursor: undefined }, 0)).toMatchObject({
    value: { keys: ['b', 'c'] },
  });
  expect(namespace.get('a', 0)).toBeUndefined();
  expect(namespace.exists('b', 0)).toBe(true);
  namespace.set(setOf('a', 2, { tags: ['t'] }), 0);
  expect(valueOf(namespace.get('a', 0))).toBe(2);
  expect(namespace.stats(0).invalidations).toBe(1);
});

test('a tag is invalidated in the same time, whatever the number of its entries', () => {
  const namespace = madeNamespace();
  for (let n = 0; n < 50_000; n += 1) namespace.set(setOf(`k${n}`, n, { tags: ['all'] }), 0);
  // Nothing is removed now: the entries go as they are met.
  expect(namespace.invalidateTags(['all'])).toBe(1);
  expect(namespace.stats(0)).toMatchObject({ entries: 50_000, invalidations: 0 });
  expect(namespace.get('k49999', 0)).toBeUndefined();
  expect(namespace.stats(0)).toMatchObject({ entries: 49_999, invalidations: 1 });
});

test.each(['lru', 's3-fifo', 'w-tinylfu'] as const)(
  'with %s neither quota is passed, also when values grow',
  (strategy) => {
    const namespace = madeNamespace();
    namespace.configure({ strategy, entriesMax: 50, bytesMax: 20_000 }, 0);
    for (let n = 0; n < 3_000; n += 1) {
      namespace.set(setOf(`k${(n * 7) % 90}`, 'x'.repeat((n * 37) % 2_000)), n);
      if (n % 3 === 0) namespace.get(`k${n % 20}`, n);
      const { entries, bytes } = namespace.stats(n);
      expect(entries).toBeLessThanOrEqual(50);
      expect(bytes).toBeLessThanOrEqual(20_000);
    }
    const { evictions, evictionsBy } = namespace.stats(3_000);
    expect(evictions).toBeGreaterThan(100);
    expect(evictionsBy.bytes + evictionsBy.entries).toBe(evictions);
  },
);

test('evictions are counted by what asked for the room', () => {
  const namespace = madeNamespace();
  namespace.configure({ entriesMax: 2 }, 0);
  for (const key of ['a', 'b', 'c']) namespace.set(setOf(key, 1), 0);
  namespace.configure({ entriesMax: 100, bytesMax: 2_000 }, 0);
  namespace.set(setOf('d', 'x'.repeat(1_780)), 0);
  namespace.residents.evict('node', 0);
  expect(namespace.stats(0)).toMatchObject({ evictions: 3, evictionsBy: { entries: 1, bytes: 1, node: 1 } });
});

test('another policy takes over what is held', () => {
  const namespace = madeNamespace();
  for (let n = 0; n < 100; n += 1) namespace.set(setOf(`k${n}`, n), 0);
  for (const strategy of ['s3-fifo', 'w-tinylfu', 'lru'] as const) {
    namespace.configure({ strategy }, 0);
    expect(namespace.stats(0)).toMatchObject({ strategy, entries: 100 });
  }
  namespace.configure({ entriesMax: 40 }, 0);
  expect(namespace.stats(0).entries).toBe(40);
});

test('what changed is noted in its order', () => {
  const { namespace, changes } = heard();
  namespace.set(setOf('a', 1, { ttlMs: 10 }), 0);
  namespace.touch('a', 20, 1);
  namespace.set(setOf('s', 1, { ttlMs: 10, sliding: true }), 1);
  namespace.get('s', 2);
  namespace.delete('a', 2);
  namespace.delete('none', 2);
  namespace.expire(10, 12);
  namespace.set(setOf('b', 1, { tags: ['t'] }), 13);
  namespace.invalidateTags(['t']);
  namespace.configure({ entriesMax: 1 }, 13);
  namespace.set(setOf('c', 1), 13);
  namespace.clear(13);
  expect(changes).toMatchObject([
    { kind: 'written', key: 'a', version: 1 },
    { kind: 'moved', key: 'a', version: 2, expiresAtMs: 21, byHit: false },
    { kind: 'written', key: 's', version: 3 },
    { kind: 'moved', key: 's', version: 3, expiresAtMs: 12, byHit: true },
    { kind: 'deleted', key: 'a', version: 4 },
    { kind: 'deleted', key: 'none', version: 5 },
    { kind: 'expired', key: 's', version: 3 },
    { kind: 'written', key: 'b', version: 6 },
    { kind: 'tags-invalidated', tags: ['t'], version: 7 },
    { kind: 'configured', settings: { entriesMax: 1 } },
    { kind: 'evicted', key: 'b', version: 6 },
    { kind: 'written', key: 'c', version: 8 },
    { kind: 'cleared', version: 9 },
  ]);
});

test('an entry from elsewhere is taken in as it is, notes nothing, and lifts the versions', () => {
  const { namespace, changes } = heard();
  const { residents } = namespace;
  const given = { expiresAtMs: 50, slidingMs: 5, graceMs: 7, tags: ['t'], fillMs: 3, createdAtMs: 1 };
  expect(residents.admit(record('a', 100, given), 0)).toBe(true);
  expect(residents.peek('a', 0)).toMatchObject({ key: 'a', version: 100, ...given });
  expect(changes).toEqual([]);
  expect(namespace.stats(0)).toMatchObject({ sets: 0, entries: 1, bytes: entryBytes(1, 3) });
  expect(namespace.set(setOf('b', 1), 0)).toMatchObject({ value: { version: 101 } });
});

test('an entry from elsewhere is not taken in where something newer is known', () => {
  const namespace = madeNamespace();
  const { residents } = namespace;
  expect(residents.admit(record('expired', 5, { expiresAtMs: 10 }), 10)).toBe(false);
  residents.admit(record('a', 100), 10);
  expect(residents.admit(record('a', 99), 10)).toBe(false);
  expect(residents.admit(record('a', 100), 10)).toBe(false);
  residents.admit(record('tagged', 101, { tags: ['t'] }), 10);
  namespace.invalidateTags(['t']);
  expect(residents.admit(record('late', 101, { tags: ['t'] }), 10)).toBe(false);
  namespace.clear(10);
  expect(residents.admit(record('before the clear', 101), 10)).toBe(false);
  expect(residents.admit(record('after it', 1_000), 10)).toBe(true);
  namespace.configure({ bytesMax: 1_024 }, 10);
  expect(residents.admit(record('large', 2_000, { value: stored('x'.repeat(1_000)) }), 10)).toBe(false);
});

test('what another node decided holds for entries below its version, and only for those', () => {
  const namespace = madeNamespace();
  const { residents } = namespace;
  for (const [key, version] of [
    ['a', 10],
    ['b', 20],
    ['c', 30],
  ] as const)
    residents.admit(record(key, version, { tags: ['t'] }), 0);
  residents.applyChange({ kind: 'deleted', key: 'a', version: 9 });
  expect(namespace.exists('a', 0)).toBe(true);
  residents.applyChange({ kind: 'deleted', key: 'a', version: 11 });
  expect(namespace.exists('a', 0)).toBe(false);
  residents.applyChange({ kind: 'cleared', version: 25 });
  expect([namespace.exists('b', 0), namespace.exists('c', 0)]).toEqual([false, true]);
  residents.applyChange({ kind: 'tags-invalidated', tags: ['t'], version: 31 });
  expect(namespace.exists('c', 0)).toBe(false);
});

test('entries are handed over page by page, those that are wanted, and forgotten then', () => {
  const { namespace, changes } = heard();
  for (let n = 0; n < 100; n += 1) namespace.set(setOf(`k${n}`, n, { ttlMs: n < 10 ? 5 : 0 }), 0);
  changes.length = 0;
  const wanted = (key: string) => Number(key.slice(1)) % 2 === 0;
  const records: EntryRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = namespace.residents.records(
      { cursor, entriesMax: 7, bytesMax: 10_000, scanMax: 20, wanted },
      10,
    );
    if (page === undefined) throw new Error('the cursor was ours');
    expect(page.records.length).toBeLessThanOrEqual(7);
    records.push(...page.records);
    ({ cursor } = page);
  } while (cursor !== undefined);
  const expected = Array.from({ length: 100 }, (_, n) => n).filter((n) => n >= 10 && n % 2 === 0);
  expect(records.map(valueOf)).toEqual(expected);
  do ({ cursor } = namespace.residents.forget({ cursor, scanMax: 30, wanted }));
  while (cursor !== undefined);
  expect(namespace.stats(10)).toMatchObject({ entries: 50, deletes: 0, evictions: 0 });
  expect(changes).toEqual([]);
});

test('invalidations are told where the near cache is on, evictions and expiries where they are asked for', () => {
  const namespace = madeNamespace();
  namespace.set(setOf('silent', 1), 0);
  expect(namespace.events.isWaiting).toBe(false);
  namespace.configure({ nearCache: true, events: ['expired'] }, 0);
  namespace.set(setOf('a', 1, { ttlMs: 5 }), 0);
  namespace.set(setOf('b', 1), 0);
  namespace.delete('b', 0);
  namespace.expire(10, 5);
  namespace.clear(5);
  namespace.configure({ entriesMax: 1 }, 5);
  for (const key of ['c', 'd']) namespace.set(setOf(key, 1), 5);
  const head = (sequence: number) => ({ epoch: 'epoch', sequence });
  expect(namespace.events.take()).toEqual([
    { ...head(1), keys: ['a', 'b', 'b'], versions: [2, 3, 4] },
    { ...head(2), expired: ['a'] },
    { ...head(3), clear: true, version: 5 },
    { ...head(4), keys: ['c', 'd'], versions: [6, 7] },
  ]);
  expect(namespace.events.take()).toEqual([]);
  expect(namespace.events.heartbeat()).toEqual({ ...head(4), heartbeat: true });
});

test('missed events come again without a gap, as long as they are kept', () => {
  const log = new EventLog('run');
  const total = cacheEventsKeptMax + 100;
  for (let version = 1; version <= total; version += 1) {
    log.note({ kind: 'cleared', version });
    log.take();
  }
  const sequences = (after: number) => log.missed('run', after).events?.map((event) => event.sequence);
  expect(sequences(total - 3)).toEqual([total - 2, total - 1, total]);
  expect(sequences(total)).toEqual([]);
  expect(sequences(100)).toHaveLength(cacheEventsKeptMax);
  expect(sequences(99)).toBeUndefined();
  expect(sequences(total + 1)).toBeUndefined();
  expect(log.missed('another run', total)).toEqual({ epoch: 'run', sequence: total });
});

test('many keys become events of bounded size', () => {
  const log = new EventLog('run');
  for (let n = 0; n < 2.5 * cacheEventKeysMax; n += 1)
    log.note({ kind: 'written', key: `k${n}`, version: n });
  const events = log.take();
  expect(events.map((event) => ('keys' in event ? event.keys.length : 0))).toEqual([1_000, 1_000, 500]);
  expect(events.map((event) => event.sequence)).toEqual([1, 2, 3]);
});

test.each(['lru', 's3-fifo', 'w-tinylfu'] as const)(
  'with %s memory is given back when all has expired',
  (strategy) => {
    const namespace = madeNamespace();
    namespace.configure({ strategy }, 0);
    for (let n = 0; n < 60_000; n += 1) namespace.set(setOf(`k${n}`, n, { ttlMs: 10, tags: ['t'] }), 0);
    const held = namespace.stats(0).overheadBytes;
    namespace.expire(100_000, 10);
    namespace.expire(100_000, 10);
    expect(namespace.stats(10)).toMatchObject({ entries: 0, bytes: 0, expirations: 60_000 });
    expect(namespace.stats(10).overheadBytes).toBeLessThan(held / 4);
    namespace.set(setOf('k1', 'new', { tags: ['t'] }), 11);
    expect(valueOf(namespace.get('k1', 11))).toBe('new');
  },
);

test('where a namespace holds its most tags, what has none but those is still set', () => {
  const namespace = madeNamespace();
  namespace.configure({ bytesMax: 10 ** 9 }, 0);
  const tags = (entry: number) => Array.from({ length: 50 }, (_, n) => `t${entry * 50 + n}`);
  for (let entry = 0; entry < cacheTagsMax / 50; entry += 1)
    namespace.set(setOf(`k${entry}`, entry, { tags: tags(entry) }), 0);
  expect(namespace.set(setOf('k1', 5, { tags: tags(1) }), 1)).toMatchObject({ ok: true });
  const by = { key: 'k1', by: 1, initial: 0, ttlMs: undefined };
  expect(namespace.increment(by, 1)).toMatchObject({ ok: true, value: { value: 6 } });
  expect(namespace.set(setOf('k1', 5, { tags: ['another'] }), 1)).toMatchObject({
    ok: false,
    error: { code: 'unavailable', details: { field: 'tags' } },
  });
});
