import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Entry } from '#services/cache-node/core/entry.ts';
import type { PageQuery } from '#services/cache-node/core/entry-store.ts';
import { keyHash } from '#services/cache-node/core/key-hash.ts';
import { PackedStore } from '#services/cache-node/core/packed-store.ts';
import { entryBytes } from './made-namespace.ts';

const hash = keyHash([7, 11]);
const made = (hashes = hash) => new PackedStore(hashes, 'lru');

const entry = (key: string, given: Partial<Entry> = {}): Entry => ({
  key,
  value: { encoding: 'application/json', bytes: Buffer.from('1'), rawBytes: 0 },
  version: 1,
  createdAtMs: 0,
  expiresAtMs: Infinity,
  slidingMs: 0,
  graceMs: 0,
  tags: [],
  fillMs: 0,
  ...given,
});

/** An entry with bytes that can be compared, whatever memory they lie in. */
const plain = (one: Entry | undefined) =>
  one === undefined
    ? undefined
    : { ...one, value: { ...one.value, bytes: Buffer.from(one.value.bytes).toString('latin1') } };

function keysOf(store: PackedStore, query: Partial<PageQuery> = {}) {
  const keys: string[] = [];
  const page = store.page({
    scanMax: 1_000,
    wantedKey: () => true,
    take: ({ key }) => keys.push(key) > 0,
    ...query,
  });
  return { keys, cursor: page?.cursor };
}

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const kept = fc.record({
  key: fc.oneof(text, fc.constantFrom('a', 'b', 'c', 'd', 'e')),
  value: fc.record({
    encoding: fc.constantFrom('application/json' as const, 'application/msgpack' as const),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 0, max: 90_000 }).map((length) => new Uint8Array(length).fill(length)),
    ),
    rawBytes: fc.constantFrom(0, 0, 70_000),
  }),
  version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  createdAtMs: fc.double({ min: 0, max: 4e12, noNaN: true }),
  expiresAtMs: fc.oneof(fc.constant(Infinity), fc.double({ min: 1, max: 4e12, noNaN: true })),
  slidingMs: fc.constantFrom(0, 0, 1_000),
  graceMs: fc.constantFrom(0, 0, 500),
  tags: fc.uniqueArray(fc.constantFrom('t', 'u', 'ü', 'long tag'), { maxLength: 4 }),
  fillMs: fc.constantFrom(0, 0, 12),
});

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ verb: fc.constant('put' as const), entry: kept }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('remove' as const), nth: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('evict' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ verb: fc.constant('retime' as const), nth: fc.nat(40), slidingMs: fc.nat(5) }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('tidy' as const) }) },
);

const isRoomy = ({ slidingMs, graceMs, fillMs, value }: Entry): boolean =>
  slidingMs > 0 || graceMs > 0 || fillMs > 0 || value.rawBytes > 0;

test.each([
  ['a good hash', hash],
  ['a hash that puts all keys in one place', () => 3],
  ['a hash of two bits', (key: string) => (hash(key) >>> 30) << 30],
])('entries come back as they were put, with %s', (_name, hashes) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const store = made(hashes);
      /** In the order of use, the entry used longest ago first. */
      const model = new Map<string, Entry>();
      /** Keys whose record has room for a sliding ttl. */
      const roomy = new Set<string>();
      for (const one of steps) {
        const key = 'nth' in one ? ([...model.keys()][one.nth % Math.max(1, model.size)] ?? 'none') : '';
        switch (one.verb) {
          case 'put':
            store.put(one.entry);
            model.delete(one.entry.key);
            model.set(one.entry.key, one.entry);
            if (isRoomy(one.entry)) roomy.add(one.entry.key);
            else roomy.delete(one.entry.key);
            break;
          case 'remove':
            store.remove(key);
            model.delete(key);
            break;
          case 'evict': {
            const victim = store.victim();
            expect(victim).toBe(model.keys().next().value);
            if (victim === undefined) break;
            store.evict(victim);
            model.delete(victim);
            break;
          }
          case 'retime': {
            const before = model.get(key);
            if (before === undefined) break;
            const times = { expiresAtMs: 5_000, slidingMs: one.slidingMs, version: before.version };
            store.retime(key, times);
            // A record without room for a sliding ttl is written anew, which is a use.
            if (one.slidingMs > 0 && !roomy.has(key)) {
              model.delete(key);
              roomy.add(key);
            }
            model.set(key, { ...before, ...times });
            break;
          }
          case 'tidy':
            store.tidy();
            break;
        }
        expect(store.entries).toBe(model.size);
      }
      for (const [held, expected] of model) expect(plain(store.get(held))).toEqual(plain(expected));
      const bytes = [...model.values()].map((one) =>
        entryBytes(Buffer.byteLength(one.key), one.value.bytes.length),
      );
      expect(store.bytes).toBe(bytes.reduce((sum, size) => sum + size, 0));
      expect(keysOf(store).keys.toSorted()).toEqual([...model.keys()].toSorted());
      const tags = new Set([...model.values()].flatMap((one) => one.tags));
      expect(store.tags).toBe(tags.size);
    }),
    { numRuns: 100 },
  );
});

test('a page looks at no more entries than it may, even when it finds nothing', () => {
  const store = made();
  for (let n = 0; n < 10; n += 1) store.put(entry(`k${n}`));
  const wantedKey = (key: string) => key === 'k9';
  const first = keysOf(store, { scanMax: 5, wantedKey });
  expect(first.keys).toEqual([]);
  expect(keysOf(store, { scanMax: 5, wantedKey, cursor: first.cursor })).toEqual({ keys: ['k9'] });
});

test('a page that had to end goes on with the entry that did not fit', () => {
  const store = made();
  for (const key of ['a', 'b', 'c']) store.put(entry(key));
  const keys: string[] = [];
  const take = ({ key }: Entry) => keys.length < 2 && keys.push(key) > 0;
  const first = store.page({ scanMax: 10, wantedKey: () => true, take });
  expect(keys).toEqual(['a', 'b']);
  expect(keysOf(store, { cursor: first?.cursor })).toEqual({ keys: ['c'] });
});

test('what is due is named in its order, and only when it is due', () => {
  const store = made();
  store.put(entry('later', { expiresAtMs: 20 }));
  store.put(entry('sooner', { expiresAtMs: 10 }));
  store.put(entry('in grace', { expiresAtMs: 5, graceMs: 100 }));
  expect(store.due(9.9)).toBeUndefined();
  expect(store.due(10)).toBe('sooner');
  store.remove('sooner');
  expect(store.due(30)).toBe('later');
});

test('an empty store has nobody to give up', () => {
  const store = made();
  expect([store.victim(), store.due(10), store.get('a')]).toEqual([undefined, undefined, undefined]);
  expect(keysOf(store)).toEqual({ keys: [] });
});

test('memory follows what is held, when values of another size take the place of many', () => {
  const store = made();
  const sized = (key: string, length: number) =>
    entry(key, { value: { encoding: 'application/json', bytes: new Uint8Array(length), rawBytes: 0 } });
  for (const length of [100, 1_700, 40, 30_000, 300]) {
    for (let n = 0; n < 1_500; n += 1) store.put(sized(`k${n}`, length));
    // Half go again, every other one: holes everywhere.
    for (let n = 0; n < 1_500; n += 2) store.remove(`k${n}`);
    store.tidy();
    const data = store.bytes - 100 * store.entries;
    expect(store.overheadBytes).toBeLessThan(0.4 * data + 200 * store.entries + 300_000);
  }
  for (let n = 0; n < 1_500; n += 1) store.remove(`k${n}`);
  expect(store.bytes).toBe(0);
  expect(store.overheadBytes).toBeLessThan(600_000);
});

test('a hundred thousand entries are found, and those that left are not', () => {
  const store = made();
  for (let n = 0; n < 100_000; n += 1) store.put(entry(`key:${n}`, { version: n + 1 }));
  for (let n = 0; n < 100_000; n += 3) store.remove(`key:${n}`);
  let wrong = 0;
  for (let n = 0; n < 100_000; n += 1) {
    const version = store.get(`key:${n}`)?.version;
    if (version !== (n % 3 === 0 ? undefined : n + 1)) wrong += 1;
  }
  expect(wrong).toBe(0);
});

test('an invalidated tag has its version for as long as an entry has the tag', () => {
  const store = made();
  store.put(entry('a', { tags: ['t'] }));
  expect(store.invalidateTag('t', 5)).toBe(true);
  expect(store.invalidateTag('none', 6)).toBe(false);
  expect([store.tagVersion('t'), store.tagVersion('none')]).toEqual([5, 0]);
  store.put(entry('b', { tags: ['t', 'u'] }));
  store.remove('a');
  expect(store.tagVersion('t')).toBe(5);
  store.put(entry('b', { tags: ['u'] }));
  expect(store.tagVersion('t')).toBe(0);
  expect(store.tags).toBe(1);
});
