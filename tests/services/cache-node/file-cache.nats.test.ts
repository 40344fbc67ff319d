import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type RunningCache, startCache } from './running-cache.ts';

let data: string;
let cache: RunningCache;
let later: ServiceProcess | undefined;

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'trivet-cache-'));
  // A mebibyte is the least memory that a node may have.
  cache = await startCache({
    TRIVET_DATA: data,
    TRIVET_CACHE_BYTES: '1048576',
    TRIVET_CACHE_DEADLINE_MS: '2000',
  });
});

afterEach(async () => {
  await later?.stop();
  later = undefined;
  await cache.stop();
  await rm(data, { recursive: true, force: true });
});

/** The same process once more, or another one on another folder. */
async function startAgain(env: Readonly<Record<string, string>> = {}): Promise<void> {
  later = await startService('cache-node', {
    ...natsEnvironment(cache.server),
    TRIVET_DATA: data,
    TRIVET_CACHE_BYTES: '1048576',
    ...env,
  });
}

const value = async (namespace: string, key: string) =>
  ((await cache.ask(namespace, 'get', { key })).body as { readonly value?: unknown }).value;

const configure = (namespace: string, settings: object) => cache.ask(namespace, 'configure', settings);

test('what was answered is there after kill -9: values, versions, times, tags, and what was deleted is not', async () => {
  expect((await configure('f', { backend: 'file', nearCache: true })).body).toMatchObject({
    backend: 'file',
    degraded: false,
  });
  const { body } = await cache.ask('f', 'set', {
    key: 'kept',
    value: { a: [1, 2] },
    ttl: '1h',
    tags: ['red'],
  });
  await cache.ask('f', 'set', { key: 'short', value: 1, ttl: 300 });
  await cache.ask('f', 'set', { key: 'gone', value: 1 });
  await cache.ask('f', 'set', { key: 'old', value: 1, tags: ['blue'] });
  await cache.ask('f', 'delete', { key: 'gone' });
  await cache.ask('f', 'invalidate-tags', { tags: ['blue'] });
  const counted = Array.from({ length: 50 }, () => cache.ask('f', 'increment', { key: 'counter' }));
  await Promise.all(counted);
  await cache.node.kill();
  await startAgain();

  const kept = (await cache.ask('f', 'get', { key: 'kept' })).body as { value: unknown; ttlMs: number };
  expect(kept).toMatchObject({
    hit: true,
    value: { a: [1, 2] },
    version: (body as { version: number }).version,
  });
  expect(kept.ttlMs).toBeLessThanOrEqual(3_600_000);
  expect(kept.ttlMs).toBeGreaterThan(3_500_000);
  expect(await value('f', 'gone')).toBeUndefined();
  expect(await value('f', 'old')).toBeUndefined();
  expect(await value('f', 'counter')).toBe(50);
  await expect.poll(() => value('f', 'short')).toBeUndefined();
  // The settings are as they were, too, and versions go on.
  expect((await cache.ask('f', 'stats')).body).toMatchObject({ backend: 'file', nearCache: true });
  const next = (await cache.ask('f', 'set', { key: 'kept', value: 2 })).body as { version: number };
  expect(next.version).toBeGreaterThan((body as { version: number }).version);
  await cache.ask('f', 'invalidate-tags', { tags: ['red'] });
});

test('a namespace holds many times what fits into memory, and none of it is lost', async () => {
  await configure('big', { backend: 'file' });
  const text = 'x'.repeat(10_000);
  const keys = Array.from({ length: 800 }, (_, index) => `k${index}`);
  for (let at = 0; at < keys.length; at += 100) {
    const items = keys.slice(at, at + 100).map((key) => ({ key, value: key + text }));
    expect((await cache.ask('big', 'set-many', { items })).status).toBe(0);
  }
  const stats = (await cache.ask('big', 'stats')).body as {
    entries: number;
    bytes: number;
    inMemory: { bytes: number };
  };
  expect(stats.entries).toBe(800);
  expect(stats.bytes).toBeGreaterThan(8_000_000);
  expect(stats.inMemory.bytes).toBeLessThanOrEqual(1_048_576);
  for (let at = 0; at < keys.length; at += 100) {
    const asked = keys.slice(at, at + 100);
    const { items } = (await cache.ask('big', 'get-many', { keys: asked })).body as {
      items: { value: string }[];
    };
    expect(items.map((item) => item.value)).toEqual(asked.map((key) => key + text));
  }
  const listed: string[] = [];
  let cursor: string | undefined;
  do {
    const page = (await cache.ask('big', 'keys', { limit: 300, prefix: 'k', cursor })).body as {
      keys: string[];
      cursor?: string;
    };
    listed.push(...page.keys);
    ({ cursor } = page);
  } while (cursor !== undefined);
  expect(listed.sort()).toEqual([...keys].sort());
  expect((await cache.ask('big', 'keys', { cursor: '!' })).status).toBe(400);
});

test('1,000 callers count to 1,000, though memory forgets the counter all the time', async () => {
  await configure('f', { backend: 'file' });
  const filler = 'x'.repeat(50_000);
  const calls: Promise<unknown>[] = [];
  for (let call = 0; call < 1_000; call += 1) {
    calls.push(cache.ask('f', 'increment', { key: 'counter' }));
    if (call % 20 === 0) calls.push(cache.ask('f', 'set', { key: `filler-${call}`, value: filler }));
  }
  await Promise.all(calls);
  expect(await value('f', 'counter')).toBe(1_000);
  const races = await Promise.all(
    Array.from({ length: 100 }, (_, value) => cache.ask('f', 'set', { key: 'first', value, ifAbsent: true })),
  );
  expect(races.filter(({ status }) => status === 0)).toHaveLength(1);
});

test('the quota of a file bounds what is on the disk', async () => {
  await configure('f', { backend: 'file', entriesMax: 100 });
  for (let at = 0; at < 300; at += 50) {
    const items = Array.from({ length: 50 }, (_, index) => ({ key: `k${at + index}`, value: 1 }));
    await cache.ask('f', 'set-many', { items });
  }
  const { entries } = (await cache.ask('f', 'stats')).body as { entries: number };
  expect(entries).toBeLessThanOrEqual(100);
  expect(await value('f', 'k299')).toBe(1);
  expect(await value('f', 'k0')).toBeUndefined();
  await cache.node.kill();
  await startAgain();
  expect(((await cache.ask('f', 'stats')).body as { entries: number }).entries).toBeLessThanOrEqual(100);
});

test('entries of an invalidated tag are out of the file once they are met', async () => {
  await configure('f', { backend: 'file' });
  const items = Array.from({ length: 50 }, (_, index) => ({ key: `k${index}`, value: index, tags: ['t'] }));
  await cache.ask('f', 'set-many', { items: [...items, { key: 'kept', value: 1 }] });
  await cache.ask('f', 'invalidate-tags', { tags: ['t'] });
  const keys = items.map(({ key }) => key);
  const { items: met } = (await cache.ask('f', 'get-many', { keys })).body as { items: { hit: boolean }[] };
  expect(met.filter(({ hit }) => hit)).toEqual([]);
  await vi.waitFor(async () => {
    expect((await cache.ask('f', 'keys')).body).toMatchObject({ keys: ['kept'] });
    expect((await cache.ask('f', 'stats')).body).toMatchObject({ entries: 1 });
  });
});

test('a clear empties the file as well, and says how much that was', async () => {
  await configure('f', { backend: 'file' });
  const items = Array.from({ length: 500 }, (_, index) => ({ key: `k${index}`, value: index }));
  await cache.ask('f', 'set-many', { items });
  expect((await cache.ask('f', 'clear')).body).toEqual({ cleared: 500 });
  await cache.ask('f', 'set', { key: 'k1', value: 'new' });
  await cache.node.kill();
  await startAgain();
  expect(await value('f', 'k1')).toBe('new');
  expect(await value('f', 'k2')).toBeUndefined();
});

test('another backend takes what is in memory with it, and what the former one had does not come back', async () => {
  await cache.ask('f', 'set', { key: 'a', value: 'of memory' });
  await configure('f', { backend: 'file' });
  await cache.ask('f', 'set', { key: 'b', value: 'of the file' });
  expect((await configure('f', { backend: 'memory' })).body).toMatchObject({ backend: 'memory' });
  expect(await value('f', 'b')).toBe('of the file');
  await cache.ask('f', 'delete', { key: 'b' });
  await configure('f', { backend: 'file' });
  expect(await value('f', 'b')).toBeUndefined();
  await cache.node.kill();
  await startAgain();
  expect(await value('f', 'a')).toBe('of memory');
  expect(await value('f', 'b')).toBeUndefined();
});

test(
  'a node that joins and one that ends take over what is in a file, also what memory has no room for',
  { timeout: 60_000 },
  async () => {
    await configure('f', { backend: 'file' });
    // Three times what the memory of a node holds.
    const values = new Map(Array.from({ length: 300 }, (_, n) => [`key-${n}`, `${n} ${'x'.repeat(10_000)}`]));
    const missing = async () => {
      const left: string[] = [];
      for (const [key, expected] of values) if ((await value('f', key)) !== expected) left.push(key);
      return left;
    };
    for (const [key, one] of values) await cache.ask('f', 'set', { key, value: one });
    await startAgain({ TRIVET_NAME: 'second', TRIVET_DATA: join(data, 'second') });
    await expect.poll(settledNodes, { timeout: 20_000 }).toBe(2);
    expect(await missing()).toEqual([]);
    for (const key of ['key-0', 'key-1', 'key-2', 'key-3']) {
      values.set(key, 'newer');
      await cache.ask('f', 'set', { key, value: 'newer' });
    }
    expect(await cache.node.stop()).toBe(0);
    await expect.poll(settledNodes, { timeout: 20_000 }).toBe(1);
    expect(await missing()).toEqual([]);
  },
);

/** How many nodes there are, once nothing moves among them. */
async function settledNodes(): Promise<number> {
  const { nodes, moving } = (await cache.send('trivet.cache.map', '')).body as {
    readonly nodes: readonly object[];
    readonly moving: number;
  };
  return moving === 0 ? nodes.length : 0;
}

test('a file that another node has been used instead of is void', async () => {
  await configure('f', { backend: 'file' });
  await cache.ask('f', 'set', { key: 'a', value: 'old' });
  expect(await cache.node.stop()).toBe(0);
  const other = await mkdtemp(join(tmpdir(), 'trivet-cache-'));
  await startAgain({ TRIVET_DATA: other, TRIVET_NAME: 'cache-node-2' });
  // The first one has its file still, and is waited for.
  expect(await value('f', 'a')).toBeUndefined();
  const set = async () => (await cache.ask('f', 'set', { key: 'a', value: 'new' })).status;
  await expect.poll(set, { timeout: 30_000 }).toBe(0);
  await cache.ask('f', 'delete', { key: 'a' });
  await later?.stop();
  await startAgain();
  expect(await value('f', 'a')).toBeUndefined();
  await rm(other, { recursive: true, force: true });
});

test('a damaged file is set aside, and the namespace begins empty', async () => {
  await configure('f', { backend: 'file' });
  await cache.ask('f', 'set', { key: 'a', value: 1 });
  await cache.node.kill();
  await writeFile(join(data, 'cache', 'f', 'data.mdb'), Buffer.alloc(16_384, 'x'));
  await startAgain();
  expect(await value('f', 'a')).toBeUndefined();
  await cache.ask('f', 'set', { key: 'a', value: 2 });
  expect(await value('f', 'a')).toBe(2);
  expect((await readdir(join(data, 'cache'))).some((name) => name.startsWith('f.damaged-'))).toBe(true);
});
