import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cacheSlots, slotOf } from '#shared/protocol/cache-slots.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type Reply, type RunningCache, startCache } from './running-cache.ts';
import { mapOf, settledMapOf } from './settled-map.ts';

let cache: RunningCache;
const others: ServiceProcess[] = [];
/** Each test has one of its own. */
let namespace = 'n';
let tests = 0;

beforeEach(() => {
  tests += 1;
  namespace = `n${tests}`;
});

const startOne = async (timeoutMs = 4_000) => {
  cache = await startCache({ TRIVET_CACHE_LEASE_MS: '2000' }, timeoutMs);
};

const endAll = async () => {
  await Promise.all(others.splice(0).map((other) => other.kill()));
  await cache?.stop();
};

async function startNode(name: string, env: Record<string, string> = {}): Promise<ServiceProcess> {
  const node = await startService('cache-node', {
    ...natsEnvironment(cache.server),
    TRIVET_NAME: name,
    ...env,
  });
  others.push(node);
  return node;
}

const mapNow = () => mapOf(cache);
const settledMap = (...names: string[]) => settledMapOf(cache, names);

const keys = Array.from({ length: 500 }, (_, n) => `key-${n}`);
const setAll = () =>
  cache.ask(namespace, 'set-many', {
    items: keys.map((key, value) => ({ key, value, tags: [`t${value % 2}`] })),
  });
const getAll = async () => {
  const reply = (await cache.ask(namespace, 'get-many', { keys })).body as { items: { value?: unknown }[] };
  return reply.items.map((item) => item.value);
};
const allValues = keys.map((_, value) => value);

/** Asks until it is answered without a refusal. */
async function served(ask: () => Promise<Reply>): Promise<unknown> {
  for (;;) {
    try {
      const { status, body } = await ask();
      if (status === 0) return body;
    } catch {
      // Nobody is there to answer just now: that is what is waited for.
    }
    await delay(20);
  }
}

/** All keys, page by page. */
async function listed(limit: number, between = () => Promise.resolve()): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | undefined;
  do {
    const page = (await cache.ask(namespace, 'keys', { limit, ...(cursor === undefined ? {} : { cursor }) }))
      .body as {
      keys: string[];
      cursor?: string;
    };
    found.push(...page.keys);
    ({ cursor } = page);
    await between();
  } while (cursor !== undefined);
  return found.sort();
}

const increment = async (key: string): Promise<void> => {
  const { status, body } = await cache.ask(namespace, 'increment', { key });
  if (status !== 0) throw new Error(`an increment was refused: ${JSON.stringify(body)}`);
};

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
describe('three nodes, and a fourth one that comes and goes', () => {
  beforeAll(async () => {
    // Some requests wait while a node is started, on a machine that may be busy.
    await startOne(15_000);
    await Promise.all([startNode('second'), startNode('third')]);
    await settledMap('cache-node-1', 'second', 'third');
  });

  afterEach(async () => {
    const joined = others.splice(2);
    if (joined.length === 0) return;
    await Promise.all(joined.map((node) => node.stop()));
    await settledMap('cache-node-1', 'second', 'third');
  });

  afterAll(endAll);

  test('three nodes share the slots, and every request sees what every other one wrote', async () => {
    const { ownerNames } = await settledMap('cache-node-1', 'second', 'third');
    for (const name of ['cache-node-1', 'second', 'third']) {
      const share = ownerNames.filter((owner) => owner === name).length / cacheSlots;
      expect(share).toBeGreaterThan(1 / 3 - 0.1);
      expect(share).toBeLessThan(1 / 3 + 0.1);
    }
    expect((await setAll()).status).toBe(0);
    expect(await getAll()).toEqual(allValues);
    for (const key of keys.slice(0, 100)) {
      const { version } = (await cache.ask(namespace, 'set', { key, value: 'new' })).body as {
        version: number;
      };
      expect((await cache.ask(namespace, 'get', { key })).body).toEqual({ hit: true, value: 'new', version });
      expect((await cache.ask(namespace, 'delete', { key })).body).toEqual({ deleted: true });
      expect((await cache.ask(namespace, 'get', { key })).body).toEqual({ hit: false });
    }
  });

  test('a batch of values in either encoding comes back in order, a bad item in its place', async () => {
    const items = [
      { key: 'a', value: 1n },
      { key: 7 },
      { key: 'b', value: new Uint8Array([1, 2]) },
      { key: 'c' },
    ];
    const replies = (await cache.askPacked(namespace, 'set-many', { items })).body as { items: object[] };
    expect(replies.items.map((item) => ('error' in item ? 'error' : 'set'))).toEqual([
      'set',
      'error',
      'set',
      'error',
    ]);
    const got = await cache.askPacked(namespace, 'get-many', { keys: ['b', '', 'a', 'none'] });
    expect(got.body).toMatchObject({
      items: [
        { hit: true, value: Buffer.from([1, 2]) },
        { error: { code: 'invalid_request', details: { field: 'key' } } },
        { hit: true, value: 1n },
        { hit: false },
      ],
    });
  });

  test('a node that is asked directly for what is not its own refuses, and does nothing', async () => {
    const { nodes, ownerNames } = await mapNow();
    const owner = ownerNames[slotOf(namespace, 'k')];
    const [right, wrong] = [true, false].map((is) => nodes.find(({ name }) => (name === owner) === is)?.id);
    const set = (id: string | undefined) =>
      cache.send(`trivet.cache.${namespace}.set.${id}`, JSON.stringify({ key: 'k', value: 1 }));
    expect(await set(wrong)).toMatchObject({ status: 421, body: { error: { code: 'wrong_owner' } } });
    expect((await cache.ask(namespace, 'get', { key: 'k' })).body).toEqual({ hit: false });
    expect((await set(right)).status).toBe(0);
    expect((await cache.ask(namespace, 'get', { key: 'k' })).body).toMatchObject({ hit: true, value: 1 });
  });

  test('clear, tags, keys, figures and settings are those of all nodes', async () => {
    await settledMap('cache-node-1', 'second', 'third');
    await setAll();
    expect(await listed(37)).toEqual([...keys].sort());
    expect((await cache.ask(namespace, 'stats')).body).toMatchObject({ entries: 500, sets: 500 });
    const { namespaces } = (await cache.send('trivet.cache.stats', '')).body as {
      namespaces: { namespace: string }[];
    };
    expect(namespaces.find((one) => one.namespace === namespace)).toMatchObject({ entries: 500, sets: 500 });
    expect((await cache.ask(namespace, 'invalidate-tags', { tags: ['t0', 'unknown'] })).body).toEqual({
      tags: 1,
    });
    expect((await getAll()).filter((value) => value !== undefined)).toHaveLength(250);
    expect((await cache.ask(namespace, 'clear')).status).toBe(0);
    expect((await getAll()).filter((value) => value !== undefined)).toHaveLength(0);
    // What is set after it, on any node, is there.
    await setAll();
    expect(await getAll()).toEqual(allValues);
    expect((await cache.ask(namespace, 'keys', { cursor: 'none-of-ours' })).status).toBe(400);
  });

  test('a node that joins gets its keys warm, and no others move', async () => {
    const before = await mapNow();
    await setAll();
    await startNode('fourth');
    const after = await settledMap('cache-node-1', 'second', 'third', 'fourth');
    expect(await getAll()).toEqual(allValues);
    const moved = after.ownerNames.filter((name, slot) => name !== before.ownerNames[slot]);
    expect(new Set(moved)).toEqual(new Set(['fourth']));
    expect(moved.length / cacheSlots).toBeLessThan(1 / 4 + 0.1);
  });

  test('a listing leaves no key out while nodes join', async () => {
    await setAll();
    let joining: Promise<unknown> = Promise.resolve();
    let pages = 0;
    const found = await listed(20, async () => {
      pages += 1;
      if (pages === 3) joining = startNode('fourth');
      if (pages < 30) await delay(50);
    });
    await joining;
    expect([...new Set(found)]).toEqual([...keys].sort());
  });

  test('one caller at a time fills a key, also while it moves', async () => {
    const loads = keys.slice(0, 40);
    const granted = await Promise.all(loads.map((key) => cache.ask(namespace, 'load', { key })));
    const tokens = granted.map(({ body }) => (body as { loadToken: number }).loadToken);
    expect(tokens.every((token) => token > 0)).toBe(true);
    const waiting = loads.map((key) => cache.ask(namespace, 'load', { key, wait: '30s' }));
    await startNode('fourth');
    await settledMap('cache-node-1', 'second', 'third', 'fourth');
    const more = loads.map((key) => cache.ask(namespace, 'load', { key, wait: '30s' }));
    await delay(200);
    for (const [index, key] of loads.entries())
      expect(
        (await cache.ask(namespace, 'set', { key, value: index, loadToken: tokens[index] })).status,
      ).toBe(0);
    for (const replies of [await Promise.all(waiting), await Promise.all(more)])
      expect(replies.map(({ body }) => (body as { value?: unknown }).value)).toEqual(
        loads.map((_, index) => index),
      );
  });
});

describe('nodes that end', () => {
  beforeEach(() => startOne());

  afterEach(endAll);

  test('a node that ends in an orderly way loses neither keys nor an increment of those under way', async () => {
    const second = await startNode('second');
    await startNode('third');
    await settledMap('cache-node-1', 'second', 'third');
    await setAll();
    const ended = new AbortController();
    const count = async (caller: number): Promise<number> => {
      let acknowledged = 0;
      for (; !ended.signal.aborted; acknowledged += 1) await increment(`count-${caller}`);
      return acknowledged;
    };
    const counted = Promise.all(Array.from({ length: 8 }, (_, caller) => count(caller)));
    await delay(200);
    expect(await second.stop()).toBe(0);
    await delay(200);
    ended.abort();
    const acknowledged = await counted;
    await settledMap('cache-node-1', 'third');
    expect(await getAll()).toEqual(allValues);
    for (const [caller, count] of acknowledged.entries())
      expect((await cache.ask(namespace, 'get', { key: `count-${caller}` })).body).toMatchObject({
        value: count,
      });
  });

  test('a node that was paused serves nothing of what it held before', async () => {
    const second = await startNode('second');
    const { ownerNames, nodes } = await settledMap('cache-node-1', 'second');
    await setAll();
    const theirs = keys.filter((one) => ownerNames[slotOf(namespace, one)] === 'second').slice(0, 20);
    const idOf = (name: string) => nodes.find((node) => node.name === name)?.id ?? '';
    // What NATS hands a paused process of the queue group has no answer: the other node is asked directly.
    const ask = (operation: string, key: string, name: string) =>
      cache.send(
        `trivet.cache.${namespace}.${operation}.${idOf(name)}`,
        JSON.stringify(operation === 'set' ? { key, value: 'new' } : { key }),
      );
    process.kill(second.pid, 'SIGSTOP');
    for (const key of theirs) await served(() => ask('set', key, 'cache-node-1'));
    const late = theirs.map((key) =>
      cache
        .send(`trivet.cache.${namespace}.get.${idOf('second')}`, JSON.stringify({ key }))
        .catch(() => undefined),
    );
    process.kill(second.pid, 'SIGCONT');
    for (const reply of await Promise.all(late)) expect(reply?.body ?? {}).not.toHaveProperty('value');
    const isNew = async () => {
      for (const key of theirs)
        expect(await served(() => cache.ask(namespace, 'get', { key }))).toMatchObject({ value: 'new' });
    };
    await isNew();
    await settledMap('cache-node-1', 'second');
    await isNew();
  });

  test('what lay there for a paused node is refused when it wakes up, and not sent on', async () => {
    const second = await startNode('second');
    const { ownerNames, nodes } = await settledMap('cache-node-1', 'second');
    const first = nodes.find((node) => node.name === 'cache-node-1')?.id ?? '';
    const theirs = keys.filter((one) => ownerNames[slotOf(namespace, one)] === 'cache-node-1').slice(0, 100);
    process.kill(second.pid, 'SIGSTOP');
    // Half of it NATS hands to the paused process, which would only have to send it on to the other one.
    const before = theirs.map((key) => cache.ask(namespace, 'set', { key, value: 'before' }));
    await delay(2_200);
    for (const key of theirs) {
      const body = JSON.stringify({ key, value: 'after' });
      expect(await cache.send(`trivet.cache.${namespace}.set.${first}`, body)).toMatchObject({ status: 0 });
    }
    process.kill(second.pid, 'SIGCONT');
    const refused = (await Promise.all(before)).filter(({ status }) => status !== 0);
    expect(refused.length).toBeGreaterThan(10);
    for (const { body } of refused)
      expect(body).toMatchObject({ error: { code: 'unavailable', details: { notDone: true } } });
    await settledMap('cache-node-1', 'second');
    for (const key of theirs)
      expect(await served(() => cache.ask(namespace, 'get', { key }))).toMatchObject({ value: 'after' });
  });

  test('settings hold on every node, and outlive all of them', async () => {
    const second = await startNode('second');
    await settledMap('cache-node-1', 'second');
    const settings = { defaultTtl: '1h', entriesMax: 5_000 };
    expect((await cache.ask(namespace, 'configure', settings)).body).toMatchObject({ entriesMax: 5_000 });
    await setAll();
    const all = (await cache.ask(namespace, 'get-many', { keys })).body as { items: { ttlMs?: number }[] };
    expect(all.items.every(({ ttlMs = 0 }) => ttlMs > 3_000_000)).toBe(true);
    await Promise.all([second.stop(), cache.node.stop()]);
    await startNode('third');
    expect((await cache.ask(namespace, 'stats')).body).toMatchObject({
      defaultTtlMs: 3_600_000,
      entriesMax: 5_000,
    });
  });

  test('a node that was killed comes back at once under its name', async () => {
    await cache.ask(namespace, 'set', { key: 'a', value: 1 });
    await cache.node.kill();
    await startNode('cache-node-1');
    expect((await cache.ask(namespace, 'get', { key: 'a' })).body).toEqual({ hit: false });
  });

  test('what is held outlives a restart of nats-server', async () => {
    // Long enough for a busy machine: who cannot renew for longer is out.
    const env = { TRIVET_CACHE_LEASE_MS: '10000' };
    await Promise.all([startNode('second', env), startNode('third', env)]);
    await settledMap('cache-node-1', 'second', 'third');
    await cache.node.stop();
    await settledMap('second', 'third');
    await setAll();
    await cache.server.restart();
    await served(() => cache.ask(namespace, 'exists', { key: 'any' }));
    await expect.poll(getAll, { timeout: 20_000 }).toEqual(allValues);
  });

  test('a second process under the same name is refused, and the first keeps what it holds', async () => {
    await cache.ask(namespace, 'set', { key: 'a', value: 1 });
    const refusal = await startNode('cache-node-1').catch(String);
    expect(refusal).toContain('a cache node named cache-node-1 runs on this NATS already');
    expect(refusal).toContain('TRIVET_NAME');
    expect(refusal).not.toContain('stack');
    expect(isRunning(cache.node.pid)).toBe(true);
    expect((await cache.ask(namespace, 'get', { key: 'a' })).body).toMatchObject({ value: 1 });
    expect(cache.node.output()).not.toContain('no longer one of the cluster');
  });
});
