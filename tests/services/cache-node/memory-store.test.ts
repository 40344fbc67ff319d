import { expect, test } from 'vitest';
import type { Entry } from '#services/cache-node/core/entry.ts';
import { MemoryStore } from '#services/cache-node/core/memory-store.ts';
import { entryBytes, stored } from './made-namespace.ts';

const entry = (key: string, given: Partial<Entry> = {}): Entry => ({
  key,
  value: stored(1),
  version: 1,
  expiresAtMs: Infinity,
  slidingMs: 0,
  sizeBytes: entryBytes(key.length, 1),
  ...given,
});

const everything = { entriesMax: 100, keyBytesMax: 10_000, scanMax: 1_000, wanted: () => true };

test('a page ends before its keys pass their bytes, and goes on with the key that did not fit', () => {
  const store = new MemoryStore();
  for (const key of ['aaaa', 'bbbb', 'cccc']) store.put(entry(key));
  const first = store.page({ ...everything, keyBytesMax: 9 });
  expect(first?.keys).toEqual(['aaaa', 'bbbb']);
  expect(store.page({ ...everything, cursor: first?.cursor })).toEqual({ keys: ['cccc'] });
  expect(store.page({ ...everything, keyBytesMax: 1 })?.keys).toEqual(['aaaa']);
});

test('a page looks at no more entries than it may, even when it finds nothing', () => {
  const store = new MemoryStore();
  for (let n = 0; n < 10; n += 1) store.put(entry(`k${n}`));
  const wanted = (one: Entry) => one.key === 'k9';
  const first = store.page({ ...everything, scanMax: 5, wanted });
  expect(first?.keys).toEqual([]);
  expect(store.page({ ...everything, scanMax: 5, wanted, cursor: first?.cursor })).toEqual({ keys: ['k9'] });
});

test('bytes and entries are those of what is held, through replacing, removing and taking slots again', () => {
  const store = new MemoryStore();
  store.put(entry('a', { sizeBytes: 10, expiresAtMs: 5 }));
  store.put(entry('a', { sizeBytes: 30 }));
  store.put(entry('b', { sizeBytes: 5, expiresAtMs: 7 }));
  expect([store.entries, store.bytes]).toEqual([2, 35]);
  store.remove('a');
  store.remove('a');
  store.put(entry('c', { sizeBytes: 1, expiresAtMs: 6 }));
  expect([store.entries, store.bytes]).toEqual([2, 6]);
  expect(store.earliest()?.key).toBe('c');
  expect(store.victim()?.key).toBe('b');
  store.use('b');
  expect(store.victim()?.key).toBe('c');
});

test('an empty store has nobody to give up', () => {
  const store = new MemoryStore();
  expect([store.victim(), store.earliest(), store.get('a')]).toEqual([undefined, undefined, undefined]);
  expect(store.page(everything)).toEqual({ keys: [] });
});
