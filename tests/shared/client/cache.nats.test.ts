import { afterAll, beforeAll, expect, test } from 'vitest';
import { CacheNamespace } from '#shared/client/cache.ts';
import type { CacheNamespaceOptions } from '#shared/client/cache-options.ts';
import { TrivetError } from '#shared/protocol/errors.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { type Nats, connectNats } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

let server: RunningNatsServer;
let node: ServiceProcess;
let nats: Nats;

beforeAll(async () => {
  server = await startNatsServer();
  node = await startService('cache-node', { ...natsEnvironment(server), TRIVET_CACHE_LEASE_MS: '10000' });
  nats = await connectNats({ url: server.url, name: 'client' });
});

afterAll(async () => {
  await nats?.connection.close();
  await node?.stop();
  await server?.stop();
});

const namespace = <T = unknown>(name: string, given: Partial<CacheNamespaceOptions<T>> = {}) =>
  new CacheNamespace<T>({ nats }, { subjects: subjectsFor('trivet'), namespace: name, ...given });

/** What an action publishes, by operation. */
async function messagesOf(action: () => Promise<unknown>): Promise<number> {
  const before = nats.connection.stats().outMsgs;
  await action();
  return nats.connection.stats().outMsgs - before;
}

test('each method does what it says', async () => {
  const users = namespace<{ name: string } | null>('methods');
  expect(await users.get('a')).toBeUndefined();
  const { version } = await users.set('a', { name: 'Ada' }, { ttl: '1m' });
  expect(await users.get('a')).toEqual({ name: 'Ada' });
  const entry = await users.getEntry('a');
  expect(entry).toMatchObject({ value: { name: 'Ada' }, version });
  expect(entry?.ttlMs).toBeLessThanOrEqual(60_000);
  expect(await users.getEntry('none')).toBeUndefined();
  await users.set('b', null);
  expect(await users.getMany(['a', 'none', 'b'])).toEqual([{ name: 'Ada' }, undefined, null]);
  expect(await users.exists('b')).toBe(true);
  expect(await users.touch('b', '1h')).toBe(true);
  expect(await users.touch('none', '1h')).toBe(false);
  expect(await users.delete('b')).toBe(true);
  expect(await users.deleteMany(['a', 'b'])).toEqual([true, false]);
  expect(await users.increment('n', { by: 2, initial: 40 })).toBe(42);
  expect(await users.stats()).toMatchObject({ namespace: 'methods', entries: 1 });
  expect(await users.configure({ entriesMax: 9 })).toMatchObject({ entriesMax: 9 });
  expect(await users.clear()).toBe(1);
});

test('what is asked in one turn goes out as a few messages of each kind, and many at once as one', async () => {
  const numbers = namespace<number>('turn');
  const keys = Array.from({ length: 200 }, (_, n) => `k${n}`);
  // Several, so that the node works on one while this process reads the reply to another.
  const few = Math.ceil(200 / 100);
  expect(await messagesOf(() => Promise.all(keys.map((key, n) => numbers.set(key, n))))).toBe(few);
  expect(await messagesOf(() => Promise.all(keys.map((key) => numbers.get(key))))).toBe(few);
  expect(
    await messagesOf(async () => {
      expect(await numbers.getMany(keys)).toEqual(keys.map((_, n) => n));
    }),
  ).toBe(1);
  expect(await messagesOf(() => Promise.all(keys.map((key) => numbers.delete(key))))).toBe(few);
});

test('requests for one key keep their order within a turn', async () => {
  const numbers = namespace<number>('order');
  const [, first, , second, deleted, third, , counted, fourth] = await Promise.all([
    numbers.set('a', 1),
    numbers.get('a'),
    numbers.set('a', 2),
    numbers.get('a'),
    numbers.delete('a'),
    numbers.get('a'),
    numbers.set('a', 10),
    numbers.increment('a'),
    numbers.get('a'),
  ]);
  expect([first, second, deleted, third, counted, fourth]).toEqual([1, 2, true, undefined, 11, 11]);
  const [, cleared, afterwards] = await Promise.all([numbers.set('b', 1), numbers.clear(), numbers.get('b')]);
  expect([cleared, afterwards]).toEqual([2, undefined]);
});

test('a refused set leaves the others of its turn set, and says why by its code', async () => {
  const values = namespace('mixed');
  const outcomes = await values.setMany([
    { key: 'a', value: 1 },
    { key: 'x'.repeat(1_025), value: 1 },
    { key: 'a', value: 2, ifAbsent: true },
    { key: 'b', value: 'x'.repeat(1_100_000) },
    { key: 'c', value: 3 },
  ]);
  const codes = outcomes.map((one) => (one.status === 'rejected' ? (one.reason as TrivetError).code : 'set'));
  expect(codes).toEqual(['set', 'invalid_request', 'conflict', 'payload_too_large', 'set']);
  expect(await values.getMany(['a', 'b', 'c'])).toEqual([1, undefined, 3]);
});

test('errors are TrivetErrors with code and status', async () => {
  const values = namespace('errors');
  await values.set('text', 'a');
  await expect(values.increment('text')).rejects.toMatchObject({ code: 'wrong_state', status: 409 });
  await expect(values.get('')).rejects.toBeInstanceOf(TrivetError);
  await expect(values.set('a', 1, { ttl: 'soon' })).rejects.toMatchObject({ details: { field: 'ttl' } });
  expect(() => namespace('not a name')).toThrow(TrivetError);
  const circular: { self?: unknown } = {};
  circular.self = circular;
  await expect(values.set('a', circular)).rejects.toMatchObject({ code: 'invalid_request' });
});

test('optimistic updates by many callers lose none', async () => {
  const counters = namespace<number>('optimistic');
  await counters.set('n', 0);
  const addOne = async (): Promise<void> => {
    const entry = await counters.getEntry('n');
    if (entry === undefined) throw new Error('the counter is gone');
    try {
      await counters.set('n', entry.value + 1, { ifVersion: entry.version });
    } catch (error) {
      if (error instanceof TrivetError && error.code === 'conflict') return addOne();
      throw error;
    }
  };
  await Promise.all(Array.from({ length: 30 }, addOne));
  expect(await counters.get('n')).toBe(30);
});

test('with MessagePack bytes, dates, maps, sets and big integers come back as they were', async () => {
  const values = namespace('packed', { encoding: 'application/msgpack' });
  const value = {
    bytes: Buffer.from([0, 255]),
    at: new Date(0),
    big: [2n ** 62n, -(2n ** 62n), 2n ** 200n, -(2n ** 200n)],
    map: new Map<unknown, unknown>([
      ['a', new Map([[1, 'one']])],
      [{ b: 1 }, new Set([new Date(1), 'x'])],
    ]),
    sets: [new Set<unknown>(), new Set([new Map([['deep', new Set([1])]])])],
    object: { nested: { plain: true } },
  };
  await Promise.all([
    values.set('a', value),
    values.set('b', [1, 'ü']),
    values.set('m', new Map([['k', 1]])),
  ]);
  const [a, b, m] = (await values.getMany(['a', 'b', 'm'])) as [typeof value, unknown, unknown];
  expect({ ...a, bytes: Buffer.from(a.bytes) }).toEqual(value);
  expect([b, m]).toEqual([[1, 'ü'], new Map([['k', 1]])]);
  expect(await values.increment('n')).toBe(1);
  // Who reads JSON gets what JSON has.
  const asJson = namespace('packed');
  expect(await asJson.getMany(['b', 'm'])).toEqual([[1, 'ü'], [['k', 1]]]);
  expect(await asJson.get('a')).toMatchObject({
    bytes: 'AP8=',
    at: '1970-01-01T00:00:00.000Z',
    big: [String(2n ** 62n), String(-(2n ** 62n)), String(2n ** 200n), String(-(2n ** 200n))],
    sets: [[], [[['deep', [1]]]]],
  });
});

test('values that do not fit into one reply together all come', async () => {
  const values = namespace<string>('large');
  const keys = Array.from({ length: 20 }, (_, n) => `k${n}`);
  const value = 'x'.repeat(1_000_000);
  await Promise.all(keys.map((key) => values.set(key, key + value)));
  expect(await values.getMany(keys)).toEqual(keys.map((key) => key + value));
});

test('every key is listed once, page by page', async () => {
  const values = namespace<number>('keys');
  const keys = Array.from({ length: 1_500 }, (_, n) => `p:${n}`);
  await Promise.all([...keys.map((key) => values.set(key, 1)), values.set('other', 1)]);
  const seen: string[] = [];
  for await (const key of values.keys({ prefix: 'p:', limit: 400 })) seen.push(key);
  expect(seen.toSorted()).toEqual(keys.toSorted());
});

test('getOrSet fills once for all who miss at once, and then hits', async () => {
  const values = namespace<string>('fill');
  let fills = 0;
  const fill = async () => {
    fills += 1;
    await new Promise((resolve) => setImmediate(resolve));
    return 'filled';
  };
  const all = await Promise.all(Array.from({ length: 100 }, () => values.getOrSet('a', fill, { ttl: '1m' })));
  expect(new Set(all)).toEqual(new Set(['filled']));
  expect(await values.getOrSet('a', fill)).toBe('filled');
  expect(fills).toBe(1);
  expect((await values.getEntry('a'))?.ttlMs).toBeGreaterThan(50_000);
});

test('a fill that fails rejects for all and sets nothing; the next caller fills anew', async () => {
  const values = namespace<string>('fail');
  const failing = () => Promise.reject(new Error('the source is down'));
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => values.getOrSet('a', failing)));
  expect(outcomes).toMatchObject(
    Array.from({ length: 3 }, () => ({ reason: { message: 'the source is down' } })),
  );
  expect(await values.getOrSet('a', () => 'now')).toBe('now');
});

test('a wrapped function runs once for each key', async () => {
  const squares = namespace<number>('wrap');
  const asked: number[] = [];
  const square = squares.wrap(
    (n: number) => {
      asked.push(n);
      return n * n;
    },
    { key: (n) => `square:${n}`, ttl: '1m' },
  );
  expect([await square(3), await square(4), await square(3)]).toEqual([9, 16, 9]);
  expect(asked).toEqual([3, 4]);
});

test('a cache that nobody serves is unavailable, and getOrSet still answers from the source', async () => {
  const { url, user, password } = server;
  const service = await connectNats({ url, user, password, name: 'client' });
  const options = { subjects: subjectsFor('elsewhere'), namespace: 'away', timeoutMs: 500 };
  const values = new CacheNamespace<string>({ nats: service }, options);
  await expect(values.get('a')).rejects.toMatchObject({ code: 'unavailable', retryable: true });
  expect(await values.getOrSet('a', () => 'from the source')).toBe('from the source');
  await service.connection.close();
});

test('a cache that the client may not use is forbidden, at once', async () => {
  const values = namespace<string>('away', { subjects: subjectsFor('elsewhere') });
  await expect(values.get('a')).rejects.toMatchObject({ code: 'forbidden', retryable: false });
});
