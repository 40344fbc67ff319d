import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Reply, type RunningCache, startCache } from './running-cache.ts';

let cache: RunningCache;

beforeAll(async () => {
  cache = await startCache({ TRIVET_REDIS_URL: 'redis://127.0.0.1:1' }, 20_000);
});

afterAll(() => cache?.stop());

const body = async (namespace: string, operation: string, request?: unknown) =>
  (await cache.ask(namespace, operation, request)).body;

interface Loaded {
  readonly hit: boolean;
  readonly value?: unknown;
  readonly loadToken?: number;
  readonly stale?: boolean;
}

const load = async (namespace: string, request: object) => (await body(namespace, 'load', request)) as Loaded;

/** How many wait in a namespace, once that many do. */
const waiting = (namespace: string, count: number) =>
  expect
    .poll(() => body(namespace, 'stats'), { timeout: 10_000 })
    .toMatchObject({ loads: { waiting: count } });

test('of a thousand callers one fills, and all have its value, each in its encoding', async () => {
  const callers = Array.from({ length: 1_000 }, (_, n) =>
    n % 2 === 0
      ? cache.ask('herd', 'load', { key: 'k', wait: '20s' })
      : cache.askPacked('herd', 'load', { key: 'k', wait: '20s' }),
  );
  await waiting('herd', 999);
  const { loadToken } = (await Promise.race(callers)).body as Loaded;
  expect(await body('herd', 'set', { key: 'k', value: { n: [1, 'ü'] }, loadToken })).toHaveProperty(
    'version',
  );
  const replies = (await Promise.all(callers)).map((reply) => reply.body as Loaded);
  expect(replies.filter((reply) => reply.loadToken !== undefined)).toHaveLength(1);
  const filled = replies.filter((reply) => reply.hit);
  expect(filled).toHaveLength(999);
  for (const reply of filled) expect(reply.value).toEqual({ n: [1, 'ü'] });
  expect(await body('herd', 'stats')).toMatchObject({ loads: { granted: 1, waiting: 0 } });
});

test('a failing fill is a coded error for all who wait, and for those who come while it is remembered', async () => {
  const { loadToken } = await load('failing', { key: 'k' });
  const others = Array.from({ length: 20 }, () => cache.ask('failing', 'load', { key: 'k' }));
  await waiting('failing', 20);
  const error = { message: 'the source is down' };
  expect(await body('failing', 'load-failed', { key: 'k', loadToken, error, ttl: '30s' })).toEqual({});
  const refused = (reply: Reply) => ({ status: reply.status, ...(reply.body as object) });
  const expected = {
    status: 503,
    error: { code: 'unavailable', message: 'the source is down', details: { loadFailed: true } },
  };
  for (const reply of await Promise.all(others)) expect(refused(reply)).toMatchObject(expected);
  expect(refused(await cache.ask('failing', 'load', { key: 'k' }))).toMatchObject(expected);
  expect(await cache.ask('failing', 'load-failed', { key: 'k', loadToken, error })).toMatchObject({
    status: 409,
    body: { error: { code: 'lease_lost' } },
  });
});

test('the right of a filler that died passes to who waits, without anybody asking again', async () => {
  const dead = await load('dead', { key: 'k', lease: '150ms' });
  const heir = load('dead', { key: 'k', wait: '20s' });
  const last = load('dead', { key: 'k', wait: '20s' });
  const { loadToken } = await heir;
  expect(loadToken).toBeGreaterThan(dead.loadToken ?? Infinity);
  expect(
    await cache.ask('dead', 'set', { key: 'k', value: 'late', loadToken: dead.loadToken }),
  ).toMatchObject({
    status: 409,
    body: { error: { code: 'lease_lost' } },
  });
  await body('dead', 'set', { key: 'k', value: 'filled', loadToken });
  expect(await last).toMatchObject({ hit: true, value: 'filled' });
});

test('a wait that is over is a coded error', async () => {
  await load('late', { key: 'k' });
  expect(await cache.ask('late', 'load', { key: 'k', wait: '50ms' })).toMatchObject({
    status: 504,
    body: { error: { code: 'timeout' } },
  });
  expect(await cache.ask('late', 'load', { key: 'k', wait: 0 })).toMatchObject({ status: 504 });
});

test.each([
  ['lease', { key: 'k', lease: '99ms' }, 'load'],
  ['lease', { key: 'k', lease: '61m' }, 'load'],
  ['wait', { key: 'k', wait: '61s' }, 'load'],
  ['ttl', { key: 'k', loadToken: 1, error: { message: '' }, ttl: '61m' }, 'load-failed'],
  ['compressAbove', { compressAbove: 100 }, 'configure'],
  ['tags[1]', { tags: ['a', '\ud800'] }, 'invalidate-tags'],
  ['tags[0]', { key: 'k', value: 1, tags: ['\udfff'] }, 'set'],
])('a %s out of its bounds is refused by its name', async (field, request, operation) => {
  expect(await cache.ask('bounds', operation, request)).toMatchObject({
    status: 400,
    body: { error: { code: 'invalid_request', details: { field } } },
  });
});

test('stale is said to all, and one of them is asked to refresh', async () => {
  await body('stale', 'set', { key: 'k', value: 'old', ttl: 30, grace: '1m' });
  await delay(40);
  expect(await body('stale', 'get', { key: 'k' })).toMatchObject({
    hit: true,
    value: 'old',
    stale: true,
    ttlMs: 0,
  });
  const replies = await Promise.all(Array.from({ length: 50 }, () => load('stale', { key: 'k' })));
  expect(replies.every((reply) => reply.hit && reply.stale === true)).toBe(true);
  const rights = replies.filter((reply) => reply.loadToken !== undefined);
  expect(rights).toHaveLength(1);
  await body('stale', 'set', { key: 'k', value: 'new', ttl: '1m', loadToken: rights[0]?.loadToken });
  expect(await body('stale', 'get', { key: 'k' })).toMatchObject({
    value: 'new',
    ttlMs: expect.any(Number) as number,
  });
  expect(await cache.askPacked('stale', 'get', { key: 'k' })).toMatchObject({
    body: { hit: true, value: 'new' },
  });
});

test('tags are invalidated in one request, whatever has them', async () => {
  const items = Array.from({ length: 500 }, (_, n) => ({ key: `k${n}`, value: n, tags: [`t${n % 2}`] }));
  await body('tags', 'set-many', { items });
  expect(await body('tags', 'invalidate-tags', { tags: ['t0', 'none'] })).toEqual({ tags: 1 });
  const keys = items.map((item) => item.key);
  const { items: got } = (await body('tags', 'get-many', { keys })) as { items: Loaded[] };
  expect(got.map((item) => item.hit)).toEqual(keys.map((_, n) => n % 2 === 1));
});

test('a large value is kept compressed, comes back as it was, and counts for what it takes', async () => {
  await body('packed', 'configure', { compressAbove: 1_024 });
  const value = { rows: Array.from({ length: 2_000 }, (_, id) => ({ id, name: `user ${id % 7}` })) };
  await body('packed', 'set', { key: 'json', value });
  await cache.askPacked('packed', 'set', { key: 'packed', value });
  await body('packed', 'set', { key: 'small', value: 'x'.repeat(1_000) });
  for (const key of ['json', 'packed']) {
    expect(await body('packed', 'get', { key })).toMatchObject({ hit: true, value });
    expect((await cache.askPacked('packed', 'get', { key })).body).toMatchObject({ hit: true, value });
  }
  const { bytes } = (await body('packed', 'stats')) as { bytes: number };
  expect(bytes).toBeLessThan(JSON.stringify(value).length / 2);
});

test('a backend that the node cannot reach is refused with the place where it was looked for, and nothing changes', async () => {
  const set = { strategy: 's3-fifo', bytesMax: 5_000, backend: 'memory' };
  expect(await cache.ask('backend', 'configure', set)).toMatchObject({ body: set });
  await body('backend', 'set', { key: 'a', value: 1 });
  const refused = await cache.ask('backend', 'configure', { backend: 'redis', bytesMax: 9_000 });
  expect(refused).toMatchObject({
    status: 503,
    body: { error: { code: 'unavailable', details: { field: 'backend' } } },
  });
  expect(JSON.stringify(refused.body)).toContain('TRIVET_REDIS_URL');
  expect(await body('backend', 'stats')).toMatchObject({ ...set, entries: 1 });
  expect(await body('backend', 'get', { key: 'a' })).toMatchObject({ hit: true });
  expect(await cache.ask('never-made', 'configure', { backend: 'redis' })).toMatchObject({ status: 503 });
  expect(await names()).not.toContain('never-made');
});

test('asking about a namespace that nobody wrote or configured leaves nothing behind', async () => {
  const questions: readonly [string, object][] = [
    ['get', { key: 'a' }],
    ['get-many', { keys: ['a', 'b'] }],
    ['exists', { key: 'a' }],
    ['keys', {}],
    ['stats', {}],
    ['delete', { key: 'a' }],
    ['delete-many', { keys: ['a'] }],
    ['touch', { key: 'a', ttl: '1m' }],
    ['clear', {}],
    ['invalidate-tags', { tags: ['t'] }],
    ['set', { key: 'a', value: 1, ifVersion: 7 }],
  ];
  for (const [operation, request] of questions) {
    await cache.ask('only-asked', operation, request);
    expect({ operation, names: await names() }).not.toMatchObject({
      names: expect.arrayContaining(['only-asked']) as string[],
    });
  }
  await body('only-asked', 'set', { key: 'a', value: 1 });
  expect(await names()).toContain('only-asked');
  await body('only-asked', 'delete', { key: 'a' });
  await body('only-asked', 'get', { key: 'a' });
  expect(await body('only-asked', 'stats')).toMatchObject({ misses: 1 });
});

async function names(): Promise<readonly string[]> {
  const { body: stats } = await cache.send('trivet.cache.stats', '');
  return (stats as { namespaces: { namespace: string }[] }).namespaces.map(({ namespace }) => namespace);
}

interface Event {
  readonly epoch: string;
  readonly sequence: number;
  readonly keys?: readonly string[];
  readonly heartbeat?: boolean;
}

test('invalidations come before their replies, without a gap, and can be had again', async () => {
  const events: Event[] = [];
  const subscription = cache.client.subscribe('trivet.events.cache.near', {
    callback: (_error, message) => {
      events.push(message.json<Event>());
    },
  });
  await cache.client.flush();
  await body('near', 'set', { key: 'silent', value: 1 });
  await body('near', 'configure', { nearCache: true, events: ['evicted', 'expired'], entriesMax: 3 });
  await body('near', 'set', { key: 'a', value: 1 });
  expect(events).toMatchObject([{ sequence: 1, keys: ['a'] }]);
  await body('near', 'set-many', { items: ['b', 'c'].map((key) => ({ key, value: 1, tags: ['t'] })) });
  // Long enough for what comes before its end, also where the machine is busy.
  await body('near', 'increment', { key: 'c2', ttl: 700 });
  await body('near', 'delete', { key: 'a' });
  await body('near', 'touch', { key: 'b', ttl: '1m' });
  await body('near', 'invalidate-tags', { tags: ['t'] });
  await expect.poll(() => events.find((event) => 'expired' in event), { timeout: 5_000 }).toBeDefined();
  await body('near', 'clear');
  expect(events.filter((event) => event.heartbeat !== true)).toMatchObject(
    [
      { keys: ['a'] },
      { keys: ['b'] },
      { evicted: ['silent'] },
      { keys: ['c'] },
      { evicted: ['a'] },
      { keys: ['c2'] },
      { keys: ['a'] },
      { keys: ['b'] },
      { tags: ['t'] },
      { expired: ['c2'] },
      { clear: true },
    ].map((event, index) => ({ ...event, sequence: index + 1 })),
  );
  const [first] = events;
  const missed = await body('near', 'missed', { epoch: first?.epoch, after: 8 });
  expect(missed).toMatchObject({
    sequence: 11,
    events: [{ tags: ['t'] }, { expired: ['c2'] }, { clear: true }],
  });
  expect(await body('near', 'missed', { epoch: 'another', after: 8 })).toEqual({
    epoch: first?.epoch,
    sequence: 11,
  });
  // A heartbeat says the last number again, well within the five seconds in which a loss must be noticed.
  await expect
    .poll(() => events.findLast((event) => event.heartbeat === true), { timeout: 5_000, interval: 100 })
    .toMatchObject({ epoch: first?.epoch, sequence: 11 });
  subscription.unsubscribe();
});

test('of a thousand callers that set over what they read, each succeeds once in the end, and none is lost', async () => {
  await body('race', 'set', { key: 'n', value: 0 });
  const add = async (): Promise<void> => {
    for (;;) {
      const { value, version } = (await body('race', 'get', { key: 'n' })) as {
        value: number;
        version: number;
      };
      const reply = await cache.ask('race', 'set', { key: 'n', value: value + 1, ifVersion: version });
      if (reply.status === 0) return;
    }
  };
  await Promise.all(Array.from({ length: 100 }, add));
  expect(await body('race', 'get', { key: 'n' })).toMatchObject({ value: 100 });
  const once = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) =>
      cache.ask('race', 'set', { key: 'once', value: n, ifAbsent: true }),
    ),
  );
  expect(once.filter((reply) => reply.status === 0)).toHaveLength(1);
});

test('who waits for a fill is told when the node ends', async () => {
  await load('ending', { key: 'k' });
  const waits = cache.ask('ending', 'load', { key: 'k', wait: '20s' });
  await waiting('ending', 1);
  const [reply] = await Promise.all([waits, cache.node.stop()]);
  expect(reply).toMatchObject({ status: 503, body: { error: { code: 'unavailable' } } });
});
