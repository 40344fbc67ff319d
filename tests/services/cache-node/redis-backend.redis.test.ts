import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TakenError } from '#services/cache-node/backend.ts';
import { RedisBackend, type RedisBackendOptions } from '#services/cache-node/redis-backend.ts';
import { fnv1a32 } from '#shared/protocol/partition.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { createLog } from '#shared/runtime/log.ts';
import { type Redis, connectRedis } from '#shared/runtime/redis.ts';
import { type RunningRedisServer, startRedisServer } from '#tests/support/redis-server.ts';
import { backendContract, batch, claim, read, row } from './backend.contract.ts';

const silent = createLog('test', 'silent');
const slotsMax = 1_024;
const slotsWhere = (isWanted: (slot: number) => boolean, since = 1): ReadonlyMap<number, number> =>
  new Map(
    Array.from({ length: slotsMax }, (_, slot) => slot)
      .filter(isWanted)
      .map((slot) => [slot, since]),
  );
const allSlots = slotsWhere(() => true);
const connect = (url: string) => connectRedis({ url, connectMsMax: 5_000, clock: systemClock, log: silent });

let server: RunningRedisServer;
let redis: Redis;
let opened = 0;

const backendOf = (namespace: string, more: Partial<RedisBackendOptions> = {}): RedisBackend =>
  new RedisBackend({
    redis,
    clock: systemClock,
    prefix: 'trivet',
    namespace,
    slotOf: (key) => fnv1a32(key) % slotsMax,
    bornMs: () => 1_000,
    outdo: () => false,
    slots: () => allSlots,
    holds: (slot) => (more.slots?.() ?? allSlots).has(slot),
    mayWrite: () => true,
    ...more,
  });

beforeAll(async () => {
  server = await startRedisServer();
  redis = await connect(server.url);
});

afterAll(async () => {
  redis.close();
  await server.stop();
});

backendContract('a backend in Redis', () => {
  opened += 1;
  const namespace = `n${opened}`;
  return Promise.resolve({
    backend: backendOf(namespace),
    reopen: () => Promise.resolve(backendOf(namespace)),
    dispose: () => Promise.resolve(),
  });
});

describe('a backend in Redis', () => {
  let namespace: string;
  let backend: RedisBackend;

  beforeEach(async () => {
    opened += 1;
    namespace = `n${opened}`;
    backend = backendOf(namespace);
    await backend.take(claim());
  });

  test('a former owner that wakes up writes nothing over what a newer one wrote, and removes nothing', async () => {
    await backend.apply(batch({ a: row('old'), b: row('old') }));
    const newer = backendOf(namespace);
    await newer.take(claim());
    await newer.apply(batch({ a: row('new'), b: null }));
    await expect(backend.apply(batch({ a: row('late') }))).rejects.toThrow(TakenError);
    await expect(backend.apply(batch({ b: row('late') }))).rejects.toThrow(TakenError);
    await expect(backend.apply(batch({ a: null }))).rejects.toThrow(TakenError);
    expect(await read(newer, 'a', 'b')).toEqual(['new', undefined]);
  });

  test('a former owner that wakes up does not make itself the writer again, and whoever may not write sends nothing', async () => {
    const old = backendOf(namespace, { slots: () => slotsWhere(() => true, 5) });
    await old.take(claim());
    await old.apply(batch({ a: row('old') }));
    const newer = backendOf(namespace, { slots: () => slotsWhere(() => true, 6) });
    await newer.take(claim());
    await newer.apply(batch({ a: row('new') }));
    await expect(old.take(claim())).rejects.toThrow(TakenError);
    await expect(old.apply(batch({ a: row('late') }))).rejects.toThrow(TakenError);
    await newer.apply(batch({ b: row('new') }));
    expect(await read(newer, 'a', 'b')).toEqual(['new', 'new']);
    const paused = backendOf(namespace, { slots: () => slotsWhere(() => true, 7), mayWrite: () => false });
    await expect(paused.take(claim())).rejects.toThrow(TakenError);
    await expect(paused.apply(batch({ a: row('late') }))).rejects.toThrow(TakenError);
    await newer.apply(batch({ a: row('newer') }));
    expect(await read(newer, 'a')).toEqual(['newer']);
  });

  test('for a cluster that began later all is void, also where it counts from below, and one that began before is refused', async () => {
    await backend.take(claim());
    const former = backendOf(namespace, { slots: () => slotsWhere(() => true, 900) });
    await former.take(claim());
    await former.apply(batch({ a: row('old'), b: row('old') }, { tags: new Map([['red', 17]]) }));
    const later = backendOf(namespace, { bornMs: () => 2_000, slots: () => slotsWhere(() => true, 5) });
    const taken = await later.take(claim());
    expect(taken).toMatchObject({ lost: false, tags: new Map() });
    expect(await read(later, 'a', 'b')).toEqual([undefined, undefined]);
    // What was void is removed.
    await expect.poll(() => server.ask('KEYS', `*:e:${namespace}:*`)).toEqual([]);

    await expect(former.apply(batch({ a: row('late') }))).rejects.toThrow(TakenError);
    await expect(former.take(claim())).rejects.toThrow(
      'a cluster that began later than this one writes here',
    );
    await later.apply(batch({ a: row('new') }));
    expect(await read(later, 'a', 'b')).toEqual(['new', undefined]);
    const next = backendOf(namespace, { bornMs: () => 2_000, slots: () => slotsWhere(() => true, 6) });
    await next.take(claim());
    expect(await read(next, 'a')).toEqual(['new']);
  });

  test('where it is not known when a cluster began, all stays as it is; for one of which it is, it was before', async () => {
    await backend.apply(batch({ a: row('1') }));
    const unknown = backendOf(namespace, { bornMs: () => 0 });
    await unknown.take(claim());
    expect(await read(unknown, 'a')).toEqual(['1']);
    for (const fence of (await server.ask('KEYS', `*:w:${namespace}`)) as string[])
      await server.ask('HDEL', fence, 'born');
    const known = backendOf(namespace, { bornMs: () => 5_000 });
    await known.take(claim());
    expect(await read(known, 'a')).toEqual([undefined]);
  });

  test('an owner whose count went back draws greater versions, once, and has all that was there', async () => {
    const before = backendOf(namespace, { slots: () => slotsWhere(() => true, 900) });
    await before.take(claim());
    await before.apply(batch({ a: row('1') }));
    let since = 7;
    const asked: number[] = [];
    const slots = () => slotsWhere(() => true, since);
    const outdo = (version: number) => {
      asked.push(version);
      since = version + 1;
      return true;
    };
    const owner = backendOf(namespace, { slots, outdo });
    await owner.take(claim());
    expect(asked).toEqual([900]);
    expect(await read(owner, 'a')).toEqual(['1']);
    await owner.apply(batch({ a: row('2') }));
    await expect(before.apply(batch({ a: row('late') }))).rejects.toThrow(TakenError);
    const refused = backendOf(namespace, { slots: () => slotsWhere(() => true, 8), outdo: () => true });
    await expect(refused.take(claim())).rejects.toThrow(/has held 1024 slots since/);
  });

  const seedFormer = async (namespace: string, more: Partial<RedisBackendOptions> = {}) => {
    // Its count ran ahead: stamps far above those that a new cluster draws first.
    const former = backendOf(namespace, { slots: () => slotsWhere(() => true, 900), ...more });
    await former.take(claim());
    await former.apply(batch({ a: row('old') }, { stamp: 1_000_000 }));
    return former;
  };

  test('what a cluster of before births left is void for one that began since', async () => {
    const own = `${namespace}-3`;
    await seedFormer(own, { bornMs: () => 0 });
    const later = backendOf(own, {
      bornMs: () => 2_000,
      slots: () => slotsWhere(() => true, 950),
    });
    await later.take({ since: 0, stamp: 5_000 });
    expect(await read(later, 'a')).toEqual([undefined]);
  });

  test('a clear of the former cluster that lay somewhere does not take the tags and rows of the next', async () => {
    const own = `${namespace}-4`;
    const former = await seedFormer(own);
    const later = backendOf(own, { bornMs: () => 2_000, slots: () => slotsWhere(() => true, 5) });
    await later.take({ since: 0, stamp: 5_000 });
    await later.apply(batch({ a: row('new, of tag red') }, { stamp: 1_000_300 }));
    await later.apply(batch({}, { stamp: 1_000_500, tags: new Map([['red', 1_000_400]]) }));
    await former.apply(batch({}, { clears: true, stamp: 1_000_100 })).catch(() => undefined);
    await former
      .apply(batch({}, { stamp: 1_000_200, tags: new Map([['blue', 2_000_000]]) }))
      .catch(() => undefined);
    // The node of `later` is gone, another one comes.
    const next = backendOf(own, { bornMs: () => 2_000, slots: () => slotsWhere(() => true, 6) });
    const taken = await next.take({ since: 0, stamp: 1_000_600 });
    expect(await read(next, 'a')).toEqual(['new, of tag red']);
    expect([...taken.tags]).toEqual([['red', 1_000_400]]);
  });

  test('within one cluster a clear that comes late does not take tags that are newer', async () => {
    const own = `${namespace}-5`;
    const isEven = (key: string) => fnv1a32(key) % 2 === 0;
    const even = backendOf(own, { slots: () => slotsWhere((slot) => slot % 2 === 0, 5) });
    const odd = backendOf(own, { slots: () => slotsWhere((slot) => slot % 2 === 1, 5) });
    await even.take({ since: 0, stamp: 5_000 });
    await odd.take({ since: 0, stamp: 5_000 });
    const key = ['a', 'b', 'c', 'd'].find(isEven) ?? '';
    await even.apply(batch({ [key]: row('of tag red') }, { stamp: 1_000_300 }));
    await even.apply(batch({}, { stamp: 1_000_500, tags: new Map([['red', 1_000_400]]) }));
    await odd.apply(batch({}, { clears: true, stamp: 1_000_100 }));
    const next = backendOf(own, { slots: () => slotsWhere(() => true, 6) });
    const taken = await next.take({ since: 0, stamp: 1_000_600 });
    expect(await read(next, key)).toEqual(['of tag red']);
    expect([...taken.tags]).toEqual([['red', 1_000_400]]);
  });

  test('a backend that was closed while it was taken does not take the slots of the next membership', async () => {
    const own = `${namespace}-7`;
    await seedFormer(own);
    let since = 5;
    const slots = () => slotsWhere(() => true, since);
    const next = backendOf(own, { slots });
    const closed = backendOf(own, {
      slots,
      outdo: (version) => {
        since = version + 1;
        return true;
      },
    });
    const taking = closed.take({ since: 0, stamp: 5_000 });
    await closed.close();
    await expect(taking).rejects.toThrow(TakenError);
    await next.take({ since: 0, stamp: 5_000 });
    await next.apply(batch({ a: row('next') }));
  });

  test('two owners of different slots write side by side', async () => {
    const isEven = (key: string) => fnv1a32(key) % 2 === 0;
    const evenKey = ['a', 'b', 'c', 'd'].find(isEven) ?? '';
    const oddKey = ['a', 'b', 'c', 'd'].find((key) => !isEven(key)) ?? '';
    const even = backendOf(namespace, { slots: () => slotsWhere((slot) => slot % 2 === 0) });
    const odd = backendOf(namespace, { slots: () => slotsWhere((slot) => slot % 2 === 1) });
    await Promise.all([even.take(claim()), odd.take(claim())]);
    await even.apply(batch({ [evenKey]: row('even') }));
    await odd.apply(batch({ [oddKey]: row('odd') }));
    await expect(odd.apply(batch({ [evenKey]: row('odd') }))).rejects.toThrow(TakenError);
    expect(await read(even, evenKey, oddKey)).toEqual(['even', 'odd']);
  });

  test('rows end in Redis by themselves', async () => {
    await backend.apply(batch({ a: row('1', { endsAtMs: Date.now() + 50 }) }));
    await expect.poll(() => server.ask('KEYS', `*:e:${namespace}:*`)).toEqual([]);
  });

  test('what was cleared leaves Redis, and what was written since stays', async () => {
    const rows = Object.fromEntries(Array.from({ length: 2_500 }, (_, index) => [`k${index}`, row('1')]));
    await backend.apply(batch(rows));
    await backend.apply(batch({ k3: row('new'), k4: row('new') }, { clears: true }));
    await expect
      .poll(async () => ((await server.ask('KEYS', `*:e:${namespace}:*`)) as string[]).length)
      .toBe(2);
    expect(await read(backend, 'k3', 'k4', 'k5')).toEqual(['new', 'new', undefined]);
  });

  test('a Redis that lost what was confirmed is noticed when it is taken again', async () => {
    await backend.apply(batch({ a: row('1') }));
    const dump = (await server.ask('KEYS', `*:${namespace}*`)) as string[];
    expect(dump.length).toBeGreaterThan(0);
    await backend.apply(batch({ a: row('2') }));
    expect((await backend.take(claim())).lost).toBe(false);
    await backend.apply(batch({ a: row('3') }));
    // As after a restart from a copy that is older than the last batch.
    const fences = (await server.ask('KEYS', `*:w:${namespace}`)) as string[];
    for (const fence of fences)
      for (const field of (await server.ask('HKEYS', fence)) as string[])
        if (field.startsWith('seq:')) await server.ask('HSET', fence, field, '0');
    expect((await backend.take(claim())).lost).toBe(true);
  });

  test('rows whose part has lost its fence are void', async () => {
    await backend.apply(batch({ a: row('1') }));
    for (const fence of (await server.ask('KEYS', `*:w:${namespace}`)) as string[])
      await server.ask('DEL', fence);
    const newer = backendOf(namespace);
    expect((await newer.take(claim())).lost).toBe(false);
    expect(await read(newer, 'a')).toEqual([undefined]);
  });

  test('a fence or tags that Redis evicted are noticed', async () => {
    await backend.apply(batch({ a: row('1') }, { tags: new Map([['red', 17]]) }));
    await server.ask('DEL', `{trivet:cache:0}:t:${namespace}`);
    expect((await backendOf(namespace).take(claim())).lost).toBe(true);
    await server.ask('DEL', `{trivet:cache:3}:w:${namespace}`);
    expect((await backendOf(namespace).take(claim())).lost).toBe(true);
  });

  test('an emptied Redis refuses what its writer sends, until it is taken again', async () => {
    await backend.apply(batch({ a: row('1') }));
    await server.ask('FLUSHALL');
    await expect(backend.apply(batch({ a: row('2') }))).rejects.toThrow(/is not as this process left it/);
    expect((await backend.take(claim())).lost).toBe(true);
    await backend.apply(batch({ a: row('3') }));
    expect(await read(backend, 'a')).toEqual(['3']);
  });
});

test('a Redis Cluster has all that a batch writes of a part at one node', async () => {
  const cluster = await startRedisServer({ persistent: false, isClusterNode: true });
  await cluster.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await expect.poll(() => cluster.ask('CLUSTER', 'INFO'), { timeout: 15_000 }).toContain('cluster_state:ok');
  const connected = await connect(cluster.url);
  try {
    const backend = backendOf('clustered', { redis: connected });
    await backend.take(claim());
    const rows = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`k${index}`, row(`${index}`)]),
    );
    await backend.apply(batch(rows, { tags: new Map([['red', 17]]) }));
    expect(await read(backend, 'k0', 'k99')).toEqual(['0', '99']);
    const keys = new Set<string>();
    let cursor: string | undefined;
    do {
      const query = { cursor, prefix: 'k', keysMax: 10, keyBytesMax: 1_000, nowMs: Date.now() };
      const page = await backend.page(query);
      for (const key of page?.keys ?? []) keys.add(key);
      cursor = page?.cursor;
    } while (cursor !== undefined);
    expect(keys.size).toBe(100);
  } finally {
    connected.close();
    await cluster.stop();
  }
});
