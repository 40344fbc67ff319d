import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileBackend } from '#services/cache-node/file-backend.ts';
import { MemoryBackend, MemoryBackendPlace } from '#services/cache-node/memory-backend.ts';
import { backendContract, batch, claim, noQuota, read, row } from './backend.contract.ts';

const nothingInUse = () => false;

backendContract('a backend in memory', () => {
  const place = new MemoryBackendPlace();
  const open = () => Promise.resolve(new MemoryBackend(place));
  return Promise.resolve({
    backend: new MemoryBackend(place),
    reopen: open,
    dispose: () => Promise.resolve(),
  });
});

backendContract('a backend in a file', async () => {
  const path = await mkdtemp(join(tmpdir(), 'trivet-cache-'));
  let backend = new FileBackend({ path, isInUse: nothingInUse });
  return {
    backend,
    reopen: async () => {
      await backend.close();
      backend = new FileBackend({ path, isInUse: nothingInUse });
      return backend;
    },
    dispose: async () => {
      await backend.close();
      await rm(path, { recursive: true });
    },
  };
});

describe('a file', () => {
  let path: string;
  let backend: FileBackend;
  const inUse = new Set<string>();

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'trivet-cache-'));
    backend = new FileBackend({ path, isInUse: (key) => inUse.has(key) });
    await backend.take(claim());
    inUse.clear();
  });

  afterEach(async () => {
    await backend.close();
    await rm(path, { recursive: true });
  });

  test('counts its entries and their bytes, through replacing, removing, clearing and a restart', async () => {
    await backend.apply(batch({ a: row('12345'), b: row('1') }));
    const { figures } = await backend.apply(batch({ a: row('1'), b: null, c: row('22') }));
    expect(figures).toEqual({ entries: 2, bytes: 101 + 102 });
    await backend.close();
    backend = new FileBackend({ path, isInUse: () => false });
    expect((await backend.take(claim())).figures).toEqual({ entries: 2, bytes: 203 });
    expect((await backend.apply(batch({ d: row('4') }, { clears: true }))).figures).toEqual({
      entries: 1,
      bytes: 101,
    });
  });

  test('is closed only when what is under way has ended, and takes nothing after that', async () => {
    const rows = (from: number) =>
      Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`k${from + n}`, row('x'.repeat(1_000))]));
    await backend.apply(batch(rows(0)));
    const underWay = Promise.allSettled([
      backend.apply(batch(rows(300))),
      backend.apply(batch(rows(600))),
      backend.fetch(Object.keys(rows(0))),
    ]);
    await nextTurn();
    await backend.close();
    const [first, second, fetched] = await underWay;
    expect([first.status, second.status, fetched.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await expect(backend.fetch(['k1'])).rejects.toThrow('closed');
    await expect(backend.apply(batch(rows(0)))).rejects.toThrow('closed');
    backend = new FileBackend({ path, isInUse: nothingInUse });
    await backend.take(claim());
    expect(await read(backend, 'k599')).toEqual(['x'.repeat(1_000)]);
  });

  test('keeps its quota: what was written longest ago goes first', async () => {
    const quota = { ...noQuota, entriesMax: 3 };
    for (const key of ['a', 'b', 'c', 'a']) await backend.apply(batch({ [key]: row('1') }, { quota }));
    const { evicted, figures } = await backend.apply(batch({ d: row('1'), e: row('1') }, { quota }));
    expect(evicted).toEqual(['b', 'c']);
    expect(figures?.entries).toBe(3);
    expect(await read(backend, 'a', 'b', 'c', 'd', 'e')).toEqual(['1', undefined, undefined, '1', '1']);
  });

  test('keeps its quota of bytes', async () => {
    const quota = { ...noQuota, bytesMax: 1_000 };
    const kilobyte = 'x'.repeat(500);
    await backend.apply(batch({ a: row(kilobyte) }, { quota }));
    const { evicted, figures } = await backend.apply(batch({ b: row(kilobyte) }, { quota }));
    expect(evicted).toEqual(['a']);
    expect(figures).toEqual({ entries: 1, bytes: 600 });
  });

  test('spares what is in use, unless all of it is', async () => {
    const quota = { ...noQuota, entriesMax: 3 };
    for (const key of ['a', 'b', 'c']) await backend.apply(batch({ [key]: row('1') }, { quota }));
    inUse.add('a');
    expect((await backend.apply(batch({ d: row('1') }, { quota }))).evicted).toEqual(['b']);
    // By now a stands behind c in the line.
    expect((await backend.apply(batch({ e: row('1') }, { quota }))).evicted).toEqual(['c']);
  });

  test('keeps its quota within one batch that passes it alone', async () => {
    const quota = { ...noQuota, entriesMax: 2 };
    const { evicted, figures } = await backend.apply(
      batch({ a: row('1'), b: row('1'), c: row('1'), d: row('1') }, { quota }),
    );
    expect(evicted).toEqual(['a', 'b']);
    expect(figures?.entries).toBe(2);
  });

  test('removes what has ended with the next batch', async () => {
    const nowMs = Date.now();
    await backend.apply(batch({ a: row('1', { endsAtMs: nowMs + 5 }), b: row('1') }));
    const { figures, evicted } = await backend.apply(batch({}, { nowMs: nowMs + 5 }));
    expect(figures?.entries).toBe(1);
    expect(evicted).toEqual([]);
    expect(await read(backend, 'a', 'b')).toEqual([undefined, '1']);
  });

  test('does not remove an entry by the end that it had before', async () => {
    const nowMs = Date.now();
    await backend.apply(batch({ a: row('1', { endsAtMs: nowMs + 5 }) }));
    await backend.apply(batch({ a: row('2', { endsAtMs: nowMs + 500 }) }));
    await backend.apply(batch({}, { nowMs: nowMs + 6 }));
    expect(await read(backend, 'a')).toEqual(['2']);
  });

  test('does not list what has ended', async () => {
    const nowMs = Date.now();
    await backend.apply(batch({ a: row('1', { endsAtMs: nowMs + 5 }), b: row('1') }));
    const query = { cursor: undefined, prefix: '', keysMax: 10, keyBytesMax: 1_000, nowMs: nowMs + 5 };
    expect(await backend.page(query)).toEqual({ keys: ['b'] });
  });
});
