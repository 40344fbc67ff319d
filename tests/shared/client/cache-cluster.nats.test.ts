import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { CacheNamespace } from '#shared/client/cache.ts';
import { type Trivet, connect } from '#shared/client/client.ts';
import { requestReply } from '#shared/client/request.ts';
import type { CacheMap } from '#shared/protocol/cache-map.ts';
import { readSlots } from '#shared/protocol/slot-text.ts';
import { slotsOf } from '#shared/protocol/cache-slots.ts';
import { TrivetError } from '#shared/protocol/errors.ts';
import { type Msg, type Subscription, connectNats } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

// The client and three cache nodes, which the tests kill and replace.

const names = ['one', 'two', 'three'];
/** Of the calls under load, in milliseconds; a crashed node is out of the map within three seconds. */
const timeoutMs = 6_000;
const callersCount = 24;

let server: RunningNatsServer;
let other: Trivet;
const nodes = new Map<string, ServiceProcess>();
const clients: Trivet[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  other = await connect({ url: server.url });
  await Promise.all(names.map(startNode));
}, 120_000);

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

afterAll(async () => {
  await other?.close();
  await Promise.all([...nodes.values()].map((node) => node.kill()));
  await server?.stop();
});

async function startNode(name: string): Promise<void> {
  const env = { ...natsEnvironment(server), TRIVET_DATA: `${server.dir}/${name}`, TRIVET_NAME: name };
  nodes.set(name, await startService('cache-node', env));
}

async function newClient(): Promise<Trivet> {
  const client = await connect({ url: server.url });
  clients.push(client);
  return client;
}

async function mapNow(): Promise<CacheMap | undefined> {
  const reply = await requestReply(other.nats, 'trivet.cache.map', {}, { timeoutMs: 2_000 });
  return reply.ok ? (reply.value as CacheMap) : undefined;
}

/** The map, once it has these nodes and everything has arrived. */
async function settled(wanted: readonly string[]): Promise<CacheMap> {
  let map: CacheMap | undefined;
  const look = async () => {
    map = await mapNow();
    return { moving: map?.moving, names: map?.nodes.map(({ name }) => name).sort() };
  };
  await expect.poll(look, { timeout: 30_000 }).toEqual({ moving: 0, names: [...wanted].sort() });
  if (map === undefined) throw new Error('there is no map');
  return map;
}

/** By map: the name of the node that answers for a key. */
function ownerIn(map: CacheMap, namespace: string): (key: string) => string | undefined {
  const owners = readSlots(
    map.owners,
    map.nodes.map(({ name }) => name),
  );
  const slotOf = slotsOf(namespace);
  return (key) => owners?.[slotOf(key)];
}

const keys = Array.from({ length: 300 }, (_, n) => `key-${n}`);

/** Subjects on which something is said until `stop`. */
async function overheard(subject: string, act: () => Promise<void>): Promise<readonly string[]> {
  // As one of the services: nobody else may listen among the nodes.
  const nats = await connectNats({
    url: server.url,
    user: server.user,
    password: server.password,
    name: 'ear',
  });
  const heard: string[] = [];
  const callback = (_error: unknown, message: Msg): void => {
    heard.push(message.subject);
  };
  const subscription: Subscription = nats.connection.subscribe(subject, { callback });
  await nats.connection.flush();
  await act();
  await nats.connection.flush();
  await subscription.drain();
  await nats.connection.close();
  return heard;
}

test('messages go to the nodes that answer for their keys, one a node for a get of many, and none is sent on', async () => {
  const cache = (await newClient()).cache<number>('direct');
  const ids = (await settled(names)).nodes.map(({ id }) => id);
  // The first request reads the map, and goes to any node.
  await cache.set('first', 0);
  const subjectOfGet = async (): Promise<string | undefined> => {
    const [subject] = await overheard('trivet.cache.direct.>', async () => {
      await cache.get('first');
    });
    return subject;
  };
  await expect
    .poll(subjectOfGet, { timeout: 20_000 })
    .toMatch(/^trivet\.cache\.direct\.get(-many)?\.[0-9a-f]+$/);
  let forwarded: readonly string[] = [];
  const asked = await overheard('trivet.cache.direct.>', async () => {
    forwarded = await overheard('trivet.cache-peer.*.forward.>', async () => {
      await cache.setMany(keys.map((key, value) => ({ key, value })));
      expect(await cache.getMany(keys)).toEqual(keys.map((_, value) => value));
    });
  });
  expect(forwarded).toEqual([]);
  const of = (operation: string) => asked.filter((subject) => subject.includes(`.${operation}.`)).sort();
  const direct = (operation: string) => ids.map((id) => `trivet.cache.direct.${operation}.${id}`).sort();
  expect(of('get-many')).toEqual(direct('get-many'));
  expect([...new Set(of('set-many'))]).toEqual(direct('set-many'));
});

test(
  'while a node is killed under load no call goes beyond its deadline, those that it had not taken are served, and nothing deleted comes back',
  { timeout: 120_000 },
  async () => {
    await settled(names);
    const cache = (await newClient()).cache<number>('killed', { timeoutMs });
    await cache.set('first', 0);
    const ended = new AbortController();
    const faults: unknown[] = [];
    let slowestMs = 0;
    let calls = 0;
    let unanswered = 0;
    const timed = async <Value>(call: () => Promise<Value>): Promise<Value> => {
      const startedMs = performance.now();
      try {
        return await call();
      } finally {
        calls += 1;
        slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      }
    };
    const round = async (key: string, value: number): Promise<void> => {
      await timed(() => cache.set(key, value));
      const read = await timed(() => cache.get(key));
      // It may be lost with its node; what was there before may not be there again.
      if (read !== undefined && read !== value) faults.push(`${key} is ${read} after ${value}`);
      await timed(() => cache.delete(key));
      const deleted = await timed(() => cache.get(key));
      if (deleted !== undefined) faults.push(`${key} is ${deleted} after it was deleted`);
      if (value % 10 === 0) await timed(() => cache.getMany(keys));
    };
    const caller = async (n: number): Promise<void> => {
      for (let value = 1; !ended.signal.aborted; value += 1) {
        try {
          await round(`caller-${n}-${value % 20}`, value);
        } catch (error) {
          // What the node had taken has no answer, and whether it was done nobody can say.
          if (error instanceof TrivetError && error.code === 'timeout') unanswered += 1;
          else faults.push(error);
        }
      }
    };
    const callers = Promise.all(Array.from({ length: callersCount }, (_, n) => caller(n)));
    await delay(500);
    await nodes.get('two')?.kill();
    await settled(['one', 'three']);
    const callsBefore = calls;
    await expect.poll(() => calls, { timeout: 20_000 }).toBeGreaterThan(callsBefore + 500);
    await startNode('two');
    await settled(names);
    ended.abort();
    await callers;
    expect(faults).toEqual([]);
    expect(unanswered).toBeLessThanOrEqual(callersCount);
    // Timers of a busy machine come late.
    expect(slowestMs).toBeLessThan(timeoutMs + 1_000);
  },
);

/** A namespace with a near cache that has heard of all nodes. */
async function withNear(name: string): Promise<CacheNamespace<string>> {
  const cache = (await newClient()).cache<string>(name, { near: true });
  await expect.poll(() => cache.nearStats()?.live, { timeout: 15_000 }).toBe(true);
  return cache;
}

test(
  'near copies of keys that move to a node that joins are right, and those of a node that is killed are given up alone',
  { timeout: 120_000 },
  async () => {
    await settled(names);
    const cache = await withNear('moved');
    const theirs = other.cache<string>('moved');
    await theirs.setMany(keys.map((key) => ({ key, value: 'old' })));
    expect(new Set(await cache.getMany(keys))).toEqual(new Set(['old']));
    await startNode('four');
    const owner = ownerIn(await settled([...names, 'four']), 'moved');
    const moved = keys.filter((key) => owner(key) === 'four');
    expect(moved.length).toBeGreaterThan(0);
    expect(new Set(await cache.getMany(keys))).toEqual(new Set(['old']));
    await theirs.setMany(moved.map((key) => ({ key, value: 'new' })));
    await expect
      .poll(async () => new Set(await cache.getMany(moved)), { timeout: 5_000 })
      .toEqual(new Set(['new']));
    const stayed = keys.filter((key) => owner(key) !== 'four');
    const missesOf = async (some: readonly string[]): Promise<number> => {
      const before = cache.nearStats()?.misses ?? 0;
      await cache.getMany(some);
      return (cache.nearStats()?.misses ?? 0) - before;
    };
    await expect.poll(() => missesOf(stayed), { timeout: 10_000 }).toBe(0);
    await nodes.get('four')?.kill();
    await settled(names);
    // What the others have is theirs to tell of, as before.
    expect(await missesOf(stayed)).toBe(0);
    // Nobody tells any more what becomes of what it had.
    await expect
      .poll(async () => new Set(await cache.getMany(moved)), { timeout: 15_000 })
      .toEqual(new Set([undefined]));
    await theirs.setMany(moved.map((key) => ({ key, value: 'newest' })));
    await expect
      .poll(async () => new Set(await cache.getMany(moved)), { timeout: 5_000 })
      .toEqual(new Set(['newest']));
  },
);
