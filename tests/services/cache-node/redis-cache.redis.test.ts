import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type RunningRedisServer, startRedisServer } from '#tests/support/redis-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type Reply, type RunningCache, startCache } from './running-cache.ts';

/** Long for a deadline, since other work on the machine counts, too: a fifth of it is not the backend's. */
const deadlineMs = 800;

let redis: RunningRedisServer;
let cache: RunningCache;
let again: ServiceProcess | undefined;
let environment: Record<string, string>;
let namespace = '';
let count = 0;

beforeAll(async () => {
  redis = await startRedisServer();
  environment = { TRIVET_REDIS_URL: redis.url, TRIVET_CACHE_DEADLINE_MS: String(deadlineMs) };
  cache = await startCache(environment);
});

afterAll(async () => {
  await again?.stop();
  await cache.stop();
  await redis.stop();
});

beforeEach(async () => {
  count += 1;
  namespace = `r${count}`;
  await expect.poll(() => configure({ backend: 'redis' }), { timeout: 20_000 }).toMatchObject({ status: 0 });
  await untilBack();
});

afterEach(async () => {
  await setFrozen(false);
  await redis.restart();
});

const ask = (operation: string, body: object = {}): Promise<Reply> => cache.ask(namespace, operation, body);
const configure = (settings: object) => ask('configure', settings);
const value = async (key: string) => ((await ask('get', { key })).body as { readonly value?: unknown }).value;
const isDegraded = async () => ((await ask('stats')).body as { degraded: boolean }).degraded;

/** All pages: one may end early, where its node does not answer just then. */
async function listed(query: object): Promise<string[]> {
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = (await ask('keys', { ...query, cursor })).body as { keys: string[]; cursor?: string };
    keys.push(...page.keys);
    ({ cursor } = page);
  } while (cursor !== undefined);
  return keys;
}

async function setFrozen(isFrozen: boolean): Promise<void> {
  process.kill(redis.pid, isFrozen ? 'SIGSTOP' : 'SIGCONT');
}

async function killNode(): Promise<void> {
  await (again ?? cache.node).kill();
}

async function startNode(): Promise<void> {
  await startNodeAtOnce();
  await untilBack();
}

async function startNodeAtOnce(): Promise<void> {
  again = await startService('cache-node', { ...natsEnvironment(cache.server), ...environment });
}

async function timed(
  operation: string,
  body: object,
): Promise<{ readonly reply: Reply; readonly ms: number }> {
  const startedMs = performance.now();
  const reply = await ask(operation, body);
  return { reply, ms: performance.now() - startedMs };
}

/** What the events say of the backend, in order. */
function heardOutages(): boolean[] {
  const heard: boolean[] = [];
  cache.client.subscribe(`trivet.events.cache.${namespace}`, {
    callback: (_error, message) => {
      const { degraded } = message.json<{ degraded?: boolean }>();
      if (degraded !== undefined) heard.push(degraded);
    },
  });
  return heard;
}

const untilBack = () => expect.poll(isDegraded, { timeout: 15_000 }).toBe(false);

describe.each([
  ['is killed', () => redis.kill(), () => redis.restart()],
  ['is frozen', () => setFrozen(true), () => setFrozen(false)],
])('a Redis that %s', (_what, goes, comes) => {
  test('holds up no call beyond its deadline; memory answers, says so, and tells it everything when it is back', async () => {
    const outages = heardOutages();
    for (const key of ['deleted', 'overwritten', 'kept']) await ask('set', { key, value: 'before' });
    await goes();
    const goneMs = performance.now();
    const calls: ReturnType<typeof timed>[] = [];
    for (let call = 0; call < 20; call += 1) calls.push(timed('set', { key: `during-${call}`, value: call }));
    calls.push(timed('delete', { key: 'deleted' }), timed('set', { key: 'overwritten', value: 'during' }));
    calls.push(timed('get', { key: 'nobody-has-it' }), timed('increment', { key: 'counter' }));
    for (const { reply, ms } of await Promise.all(calls)) {
      expect(ms).toBeLessThanOrEqual(deadlineMs + 50);
      expect(reply.status).toBe(0);
    }
    await expect.poll(() => outages).toEqual([true]);
    expect(performance.now() - goneMs).toBeLessThan(1_500);
    // From now on nobody waits for it.
    const { reply, ms } = await timed('get', { key: 'during-3' });
    expect(reply).toMatchObject({ degraded: true, body: { hit: true, value: 3 } });
    expect(ms).toBeLessThan(deadlineMs / 2);
    expect(await isDegraded()).toBe(true);

    await comes();
    await untilBack();
    await expect.poll(() => outages.at(-1)).toBe(false);
    expect((await ask('get', { key: 'during-3' })).degraded).toBe(false);
    // What memory had while it stood in is in Redis: this node knows it no more.
    await killNode();
    await startNode();
    expect(await value('deleted')).toBeUndefined();
    expect(await value('overwritten')).toBe('during');
    expect(await value('kept')).toBe('before');
    expect(await value('during-7')).toBe(7);
    expect(await value('counter')).toBe(1);
  });

  test('brings nothing back that was deleted or cleared meanwhile by a node that died meanwhile, too', async () => {
    await ask('set', { key: 'deleted', value: 'before' });
    await goes();
    expect((await ask('delete', { key: 'deleted' })).status).toBe(0);
    await killNode();
    await comes();
    await startNodeAtOnce();
    expect(await value('deleted')).toBeUndefined();
    await ask('set', { key: 'deleted', value: 'after' });
    expect(await value('deleted')).toBe('after');
    await untilBack();
  });
});

test('a Redis that is back is used again while hundreds of callers write without a pause, and has the last of each', async () => {
  const over = new AbortController();
  const last: number[] = [];
  const write = async (caller: number) => {
    for (let number = 0; !over.signal.aborted; number += 1) {
      const { status } = await ask('set', { key: `k${caller}`, value: number });
      if (status === 0) last[caller] = number;
    }
  };
  const writing = Promise.all(Array.from({ length: 300 }, (_, caller) => write(caller)));
  await setFrozen(true);
  await expect.poll(isDegraded, { timeout: 5_000 }).toBe(true);
  await setFrozen(false);
  try {
    await untilBack();
  } finally {
    over.abort();
    await writing;
  }
  await killNode();
  await startNode();
  for (const [caller, number] of last.entries()) expect(await value(`k${caller}`)).toBe(number);
});

test('what Redis has is there after a node was killed, with its times and tags', async () => {
  await ask('set', { key: 'a', value: { deep: [1] }, ttl: '1h', tags: ['red'] });
  await ask('set', { key: 'b', value: 1, tags: ['blue'] });
  await ask('invalidate-tags', { tags: ['blue'] });
  await killNode();
  await startNode();
  const { body } = await ask('get', { key: 'a' });
  expect(body).toMatchObject({ hit: true, value: { deep: [1] } });
  expect(await value('b')).toBeUndefined();
  await ask('invalidate-tags', { tags: ['red'] });
  expect(await value('a')).toBeUndefined();
});

test('1,000 callers count to 1,000, and one of a hundred is the first', async () => {
  await Promise.all(Array.from({ length: 1_000 }, () => ask('increment', { key: 'counter' })));
  expect(await value('counter')).toBe(1_000);
  const races = await Promise.all(
    Array.from({ length: 100 }, (_, number) => ask('set', { key: 'first', value: number, ifAbsent: true })),
  );
  expect(races.filter(({ status }) => status === 0)).toHaveLength(1);
});

test('a node that joins and one that ends serve what is in Redis, each key once and as it was last', async () => {
  const keys = Array.from({ length: 200 }, (_, n) => `key-${n}`);
  const setAll = (one: string) => ask('set-many', { items: keys.map((key) => ({ key, value: one })) });
  const values = async () => {
    const { items } = (await ask('get-many', { keys })).body as { items: { value?: unknown }[] };
    return new Set(items.map((item) => item.value));
  };
  const nodes = async () => {
    const map = (await cache.send('trivet.cache.map', '')).body as { nodes: object[]; moving: number };
    return map.moving === 0 ? map.nodes.length : 0;
  };
  await setAll('alone');
  const second = await startService('cache-node', {
    ...natsEnvironment(cache.server),
    ...environment,
    TRIVET_NAME: 'second',
  });
  try {
    await expect.poll(nodes, { timeout: 20_000 }).toBe(2);
    expect(await values()).toEqual(new Set(['alone']));
    await setAll('both');
    expect(await second.stop()).toBe(0);
  } finally {
    await second.kill();
  }
  await expect.poll(nodes, { timeout: 20_000 }).toBe(1);
  expect(await values()).toEqual(new Set(['both']));
  expect((await listed({ limit: 1_000 })).sort()).toEqual([...keys].sort());
});

test('keys are listed from Redis, and after a clear there are none', async () => {
  const items = Array.from({ length: 300 }, (_, index) => ({ key: `k${index}`, value: index }));
  await ask('set-many', { items });
  await killNode();
  await startNode();
  const keys = new Set(await listed({ prefix: 'k', limit: 40 }));
  expect(keys.size).toBe(300);
  await ask('clear');
  expect(((await ask('keys', { prefix: 'k' })).body as { keys: string[] }).keys).toEqual([]);
  expect(await value('k7')).toBeUndefined();
});

test('a Redis that was emptied makes misses and no errors', async () => {
  await ask('set', { key: 'a', value: 1 });
  await redis.ask('FLUSHALL');
  expect((await ask('set', { key: 'b', value: 2 })).status).toBe(0);
  await untilBack();
  expect(await value('b')).toBe(2);
});

test('a node begins without Redis, and uses it once it is there', async () => {
  await ask('set', { key: 'a', value: 1 });
  await killNode();
  await redis.kill();
  await startNodeAtOnce();
  expect((await ask('set', { key: 'b', value: 2 })).status).toBe(0);
  expect(await ask('get', { key: 'b' })).toMatchObject({ degraded: true, body: { value: 2 } });
  await redis.restart();
  await untilBack();
  expect(await value('a')).toBe(1);
  expect(await value('b')).toBe(2);
});

test('what nodes left in Redis whose NATS lost its data is void for those that come, and not in their way', async () => {
  // Versions run ahead of the clock by this, so that those of the nodes to come begin below.
  await killNode();
  await startNode();
  await ask('set', { key: 'left', value: 1, tags: ['red'] });
  const rows = `*:e:${namespace}:*`;
  expect(await redis.ask('KEYS', rows)).toHaveLength(1);
  await again?.stop();
  again = undefined;
  await cache.stop();
  cache = await startCache(environment);

  expect(await configure({ backend: 'redis' })).toMatchObject({ status: 0 });
  expect((await ask('get', { key: 'left' })).body).toMatchObject({ hit: false });
  // Until the map lets it count above what is there.
  await expect
    .poll(() => ask('set', { key: 'new', value: 2, tags: ['red'] }), { timeout: 10_000 })
    .toMatchObject({ status: 0, degraded: false });
  expect(await value('new')).toBe(2);
  // What is void goes.
  await expect.poll(() => redis.ask('KEYS', rows)).toEqual([expect.stringMatching(/:new$/)]);
  await killNode();
  await startNode();
  expect(await value('new')).toBe(2);
});

test('a Redis that cannot be reached is refused by configure, and nothing changes', async () => {
  const server = await startCache({ TRIVET_REDIS_URL: 'redis://127.0.0.1:1' });
  try {
    const { status, body } = await server.ask('n', 'configure', { backend: 'redis', entriesMax: 7 });
    expect(status).toBe(503);
    expect(body).toMatchObject({ error: { code: 'unavailable', details: { field: 'backend' } } });
    expect((await server.ask('n', 'stats')).body).toMatchObject({ backend: 'memory', entriesMax: 1_000_000 });
  } finally {
    await server.stop();
  }
});
