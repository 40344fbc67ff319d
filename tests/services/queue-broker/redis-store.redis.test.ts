import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { nothingApplied } from '#services/queue-broker/core/applied.ts';
import { emptyChanges } from '#services/queue-broker/core/overlay.ts';
import type { StoredPosition } from '#services/queue-broker/item-store.ts';
import { FencedError } from '#services/queue-broker/partition-log.ts';
import { partitionKeys } from '#services/queue-broker/redis-scripts.ts';
import { RedisStore, type RedisStoreOptions } from '#services/queue-broker/redis-store.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import { type Redis, connectRedis } from '#shared/runtime/redis.ts';
import { type RunningRedisServer, startRedisServer } from '#tests/support/redis-server.ts';
import { itemStoreContract } from './item-store.contract.ts';
import { madeItem } from './made-items.ts';

const silent = createLog('test', 'silent');

let server: RunningRedisServer;
let redis: Redis;
let opened = 0;

beforeAll(async () => {
  server = await startRedisServer();
  redis = await connectRedis({ url: server.url, connectMsMax: 5_000, clock: systemClock, log: silent });
});

afterAll(async () => {
  redis.close();
  await server.stop();
});

const optionsOf = (partition: number, more: Partial<RedisStoreOptions> = {}): RedisStoreOptions => ({
  redis,
  keys: partitionKeys('trivet', partition),
  clock: systemClock,
  log: silent,
  retryMsMax: 5_000,
  hurry: new AbortController().signal,
  logIdentity: () => Promise.resolve('a log'),
  ...more,
});

itemStoreContract('rows in Redis', async () => {
  opened += 1;
  const options = optionsOf(opened);
  const store = await RedisStore.open(options);
  return { store, reopen: () => RedisStore.open(options), dispose: () => store.close() };
});

const at = (sequence: number, epoch = 1, logIdentity = 'a log'): StoredPosition => ({
  applied: { ...nothingApplied, sequence, epoch, at: sequence },
  logIdentity,
});

/** Items of these orders, each with a payload of some bytes. */
function rows(orders: readonly number[], payload = 'payload') {
  const changes = emptyChanges();
  for (const order of orders) {
    changes.items.set(order, madeItem({ order }));
    changes.payloads.set(order, Buffer.from(payload));
  }
  return changes;
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

const ordersOf = (store: RedisStore) => [...store.items()].map(({ order }) => order);

describe('a table in Redis', () => {
  let options: RedisStoreOptions;
  const key = (name: string) => options.keys.all.find((one) => one.endsWith(`:${name}`)) ?? '';

  beforeEach(() => {
    opened += 1;
    options = optionsOf(opened);
  });

  test('is one of its own for every cluster and partition', () => {
    const names = [
      ...partitionKeys('trivet', 1).all,
      ...partitionKeys('trivet', 11).all,
      ...partitionKeys('another', 1).all,
    ];
    expect(new Set(names).size).toBe(names.length);
  });

  test('refuses a former writer, whatever it has to say', async () => {
    const former = await RedisStore.open(options);
    await former.commit(rows([1]), at(1));
    const owner = await RedisStore.open(options);
    await expect(former.commit(rows([2]), at(2))).rejects.toThrow(FencedError);
    await owner.commit(rows([3]), at(2, 2));
    // Also of a newer sequence, and also when it would begin from nothing.
    await expect(former.commit(rows([4]), at(9, 9))).rejects.toThrow(FencedError);
    await expect(former.clear(at(9, 9))).rejects.toThrow(FencedError);
    const next = await RedisStore.open(options);
    expect(ordersOf(next)).toEqual([1, 3]);
    expect(next.position()).toEqual(at(2, 2));
  });

  test.each([
    ['epoch', '7', 'of a newer epoch'],
    ['sequence', '4', 'at another record'],
    ['sequence', '6', 'at another record'],
    ['log', 'another log', 'belong to another log'],
  ])('refuses a commit where the stored %s is %s', async (field, value, problem) => {
    const store = await RedisStore.open(options);
    await store.commit(rows([1]), at(5, 6));
    await server.ask('HSET', key('state'), field, value);
    await expect(store.commit(rows([2]), at(6, 6))).rejects.toThrow(problem);
    expect(await server.ask('HKEYS', key('items'))).toEqual(['1']);
  });

  test('of another log is left to its owner', async () => {
    const owner = await RedisStore.open(options);
    await owner.commit(rows([1]), at(1));
    const stranger = { ...options, logIdentity: () => Promise.resolve('another log') };
    await expect(RedisStore.open(stranger)).rejects.toThrow(/made at a log.*delete \{trivet:\d+\}:state/);
    await owner.commit(rows([2]), at(2));
    expect(ordersOf(await RedisStore.open(options))).toEqual([1, 2]);
  });

  test('is written whole again when Redis has lost everything', async () => {
    const store = await RedisStore.open(options);
    await store.commit(rows(upTo(5_000)), at(1));
    await server.ask('DEL', ...options.keys.all);
    await store.commit(rows([5_001]), at(2));
    const next = await RedisStore.open(options);
    expect(ordersOf(next)).toEqual(upTo(5_001));
    expect(Buffer.from(next.payload(2_500) ?? []).toString()).toBe('payload');
    expect(next.position()).toEqual(at(2));
  });

  test('is written whole again when Redis has an older copy of it', async () => {
    const store = await RedisStore.open(options);
    await store.commit(rows([1]), at(1));
    const copies = await Promise.all(options.keys.all.map((name) => dump(name)));
    await store.commit(rows([2]), at(2));
    await store.commit(rows([3]), at(3));
    await Promise.all(copies.map((copy) => copy.restore()));
    await store.commit(rows([4]), at(4));
    expect(ordersOf(await RedisStore.open(options))).toEqual([1, 2, 3, 4]);
  });

  test.each(['items', 'payloads'])('is written whole again when its %s are gone', async (table) => {
    const store = await RedisStore.open(options);
    await store.commit(rows([1, 2]), at(1));
    await server.ask('DEL', key(table));
    await store.commit(rows([3]), at(2));
    const next = await RedisStore.open(options);
    expect(ordersOf(next)).toEqual([1, 2, 3]);
    expect([1, 2, 3].map((order) => next.payload(order)?.length)).toEqual([7, 7, 7]);
  });

  test('of which rows are gone is no table: it begins from nothing', async () => {
    const store = await RedisStore.open(options);
    await store.commit(rows([1, 2]), at(1));
    await server.ask('HDEL', key('items'), '1');
    const next = await RedisStore.open(options);
    expect(next.position()).toBeUndefined();
    expect(ordersOf(next)).toEqual([]);
    await next.commit(rows([5]), at(3));
    expect(ordersOf(await RedisStore.open(options))).toEqual([5]);
    expect(await server.ask('HKEYS', key('payloads'))).toEqual(['5']);
  });

  test('takes a commit of any size', async () => {
    const store = await RedisStore.open(options);
    const large = rows(upTo(30), 'x'.repeat(1_000_000));
    for (const order of upTo(20_000)) large.items.set(order, madeItem({ order }));
    await store.commit(large, at(1));
    const gone = emptyChanges();
    for (const order of upTo(10_000)) gone.items.set(order, null);
    await store.commit(gone, at(2));
    const next = await RedisStore.open(options);
    expect(ordersOf(next)).toEqual(upTo(20_000).slice(10_000));
    expect(next.payload(30)?.length).toBe(1_000_000);
    expect(await server.ask('EXISTS', key('staged'))).toBe(0);
  });

  test('forgets idempotency keys whose window is over, in memory and in Redis', async () => {
    const store = await RedisStore.open(options);
    const changes = emptyChanges();
    for (const name of ['a', 'b'])
      changes.dedup.set(name, {
        queue: 'mail',
        key: name,
        entry: { order: 1, until: name === 'a' ? 500 : 900_000 },
      });
    await store.commit(changes, at(1));
    const later = (sequence: number, ms: number) => ({
      ...at(sequence),
      applied: { ...at(sequence).applied, at: ms },
    });
    await store.commit(emptyChanges(), later(2, 120_000));
    expect(store.dedup('mail', 'a')).toBeUndefined();
    expect(store.dedup('mail', 'b')).toEqual({ order: 1, until: 900_000 });
    expect(await server.ask('HKEYS', key('keys'))).toEqual(['mail\u0000b']);
    const next = await RedisStore.open(options);
    await next.commit(emptyChanges(), later(3, 1_000_000));
    expect(await server.ask('EXISTS', key('keys'))).toBe(0);
  });
});

/** A key as it is now, to be brought back later. */
async function dump(name: string) {
  const bytes = (await redis.command(name, ['DUMP', name])) as Buffer | null;
  return {
    restore: () =>
      bytes === null
        ? redis.command(name, ['DEL', name])
        : redis.command(name, ['RESTORE', name, '0', bytes, 'REPLACE']),
  };
}
