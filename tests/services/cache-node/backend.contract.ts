import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Backend, Batch, Row } from '#services/cache-node/backend.ts';

export interface OpenedBackend {
  readonly backend: Backend;
  /** Closes it and opens it again on what it keeps, as a process does that was started again. */
  reopen(): Promise<Backend>;
  dispose(): Promise<void>;
}

const nowMs = Date.now();

export const row = (text: string, more: Partial<Row> = {}): Row => ({
  bytes: Buffer.from(text),
  endsAtMs: Infinity,
  sizeBytes: text.length + 100,
  ...more,
});

export const noQuota = { entriesMax: Infinity, bytesMax: Infinity };

let stamp = 1_000;

/** What a process says that takes a backend. */
export const claim = (since = 0) => ({ since, stamp: (stamp += 1) });

/** The rows by key; null for a key that has none. */
export const batch = (rows: Readonly<Record<string, Row | null>>, more: Partial<Batch> = {}): Batch => ({
  stamp: (stamp += 1),
  nowMs,
  rows: new Map(Object.entries(rows)),
  clears: false,
  quota: noQuota,
  ...more,
});

export const read = async (backend: Backend, ...keys: string[]): Promise<(string | undefined)[]> =>
  (await backend.fetch(keys)).map((bytes) => bytes?.toString());

async function allKeys(backend: Backend, prefix = '', keysMax = 3): Promise<string[]> {
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await backend.page({ cursor, prefix, keysMax, keyBytesMax: 10_000, nowMs });
    if (page === undefined) throw new Error('a cursor of its own was refused');
    keys.push(...page.keys);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return keys.sort();
}

/** What every backend promises to the namespace in front of it. */
export function backendContract(name: string, open: () => Promise<OpenedBackend>): void {
  describe(name, () => {
    let opened: OpenedBackend;
    let backend: Backend;

    beforeEach(async () => {
      opened = await open();
      backend = opened.backend;
      await backend.take(claim());
    });

    afterEach(() => opened.dispose());

    test('an empty one has no rows, no tags and no keys', async () => {
      expect(await read(backend, 'a', 'b')).toEqual([undefined, undefined]);
      expect(
        await backend.page({ cursor: undefined, prefix: '', keysMax: 9, keyBytesMax: 99, nowMs }),
      ).toEqual({ keys: [] });
      expect([...(await backend.take(claim())).tags]).toEqual([]);
    });

    test('rows are written, replaced and removed, and read in the order of the question', async () => {
      await backend.apply(batch({ a: row('1'), b: row('2'), c: row('3') }));
      await backend.apply(batch({ a: row('one'), b: null, d: null }));
      expect(await read(backend, 'c', 'nothing', 'a', 'b')).toEqual(['3', undefined, 'one', undefined]);
    });

    test('what was applied is there after a restart: rows, tags and the greatest stamp', async () => {
      await backend.apply(batch({ a: row('1'), b: row('2') }, { tags: new Map([['red', 17]]) }));
      const last = batch({ b: null, c: row('3') }, { tags: new Map([['blue', 18]]) });
      await backend.apply(last);
      backend = await opened.reopen();
      const taken = await backend.take(claim());
      expect(await read(backend, 'a', 'b', 'c')).toEqual(['1', undefined, '3']);
      expect([...taken.tags].sort(([a], [b]) => a.localeCompare(b))).toEqual([
        ['blue', 18],
        ['red', 17],
      ]);
      expect(taken).toMatchObject({ stamp: last.stamp, lost: false });
    });

    test('a tag keeps its highest version', async () => {
      await backend.apply(batch({}, { tags: new Map([['red', 17]]) }));
      await backend.apply(batch({}, { tags: new Map([['red', 23]]) }));
      expect([...(await backend.take(claim())).tags]).toEqual([['red', 23]]);
    });

    test('a clear leaves nothing from before, and keeps the rows of its own batch, also over a restart', async () => {
      await backend.apply(batch({ a: row('1'), b: row('2') }, { tags: new Map([['red', 17]]) }));
      const blue = new Map([['blue', 18]]);
      await backend.apply(batch({ b: row('new'), c: row('3') }, { clears: true, tags: blue }));
      expect(await read(backend, 'a', 'b', 'c')).toEqual([undefined, 'new', '3']);
      backend = await opened.reopen();
      expect((await backend.take(claim())).tags).toEqual(blue);
      expect(await read(backend, 'a', 'b', 'c')).toEqual([undefined, 'new', '3']);
      expect(await allKeys(backend)).toEqual(['b', 'c']);
    });

    test('taking it since a stamp leaves nothing from before that stamp, however often it is taken', async () => {
      await backend.apply(batch({ a: row('1') }, { tags: new Map([['red', 17]]) }));
      const since = (stamp += 1);
      expect((await backend.take(claim(since))).stamp).toBeGreaterThanOrEqual(since);
      expect(await read(backend, 'a')).toEqual([undefined]);
      await backend.apply(batch({ b: row('2') }));
      backend = await opened.reopen();
      await backend.take(claim(since));
      expect(await read(backend, 'a', 'b')).toEqual([undefined, '2']);
    });

    test('keys come in pages, each once, by their prefix', async () => {
      const names = Array.from({ length: 20 }, (_, index) => `key-${index}`);
      await backend.apply(batch(Object.fromEntries([...names, 'other'].map((key) => [key, row(key)]))));
      await backend.apply(batch({ 'key-7': null }));
      expect(await allKeys(backend, 'key-')).toEqual(names.filter((key) => key !== 'key-7').sort());
      expect(await allKeys(backend, 'key-1')).toEqual(names.filter((key) => key.startsWith('key-1')).sort());
      expect(await allKeys(backend, 'nothing')).toEqual([]);
    });

    test('a page stops before its bytes pass the bound', async () => {
      const long = 'x'.repeat(900);
      await backend.apply(batch({ [`a${long}`]: row('1'), [`b${long}`]: row('2'), [`c${long}`]: row('3') }));
      const query = { cursor: undefined, prefix: '', keysMax: 100, keyBytesMax: 1_000, nowMs };
      const page = await backend.page(query);
      expect(page?.keys.length).toBeLessThanOrEqual(1);
      expect(page?.cursor).toBeDefined();
      expect(await allKeys(backend, '', 100)).toHaveLength(3);
    });

    test.each(['!', '*', ' ', '-1'])('the cursor %j is none of ours', async (cursor) => {
      const page = await backend.page({ cursor, prefix: '', keysMax: 1, keyBytesMax: 99, nowMs });
      expect(page).toBeUndefined();
    });

    test('any key and any bytes come back as they were', async () => {
      const anyKey = fc
        .string({ unit: 'binary', minLength: 1, maxLength: 250 })
        .filter((key) => key.isWellFormed());
      const anyRows = fc.dictionary(anyKey, fc.uint8Array({ maxLength: 200 }), { maxKeys: 20 });
      await fc.assert(
        fc.asyncProperty(anyRows, async (rows) => {
          const kept = Object.entries(rows).map(([key, bytes]) => [
            key,
            row('', { bytes: Buffer.from(bytes) }),
          ]);
          await backend.apply(batch(Object.fromEntries(kept)));
          const keys = Object.keys(rows);
          const found = await backend.fetch(keys);
          expect(found.map((bytes) => bytes && [...bytes])).toEqual(
            keys.map((key) => [...(rows[key] ?? [])]),
          );
        }),
        { numRuns: 25 },
      );
    });

    test('the longest key and a value of a mebibyte fit', async () => {
      const key = '\0'.repeat(1_024);
      const value = 'v'.repeat(1_048_576);
      await backend.apply(batch({ [key]: row(value) }));
      expect(await read(backend, key)).toEqual([value]);
      expect(await allKeys(backend)).toEqual([key]);
    });

    test('a thousand rows in one batch', async () => {
      const rows = Object.fromEntries(
        Array.from({ length: 1_000 }, (_, index) => [`k${index}`, row(`${index}`)]),
      );
      await backend.apply(batch(rows));
      const found = await read(backend, ...Object.keys(rows));
      expect(found).toEqual(Object.values(rows).map(({ bytes }) => bytes.toString()));
    });
  });
}
