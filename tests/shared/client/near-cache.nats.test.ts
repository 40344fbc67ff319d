import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { CacheNamespace } from '#shared/client/cache.ts';
import { anyNode } from '#shared/client/cache-routing.ts';
import { type Trivet, connect } from '#shared/client/client.ts';
import { NearCaches } from '#shared/client/near-caches.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { type Msg, type Nats, connectNats } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

let server: RunningNatsServer;
let node: ServiceProcess;
let other: Trivet;
const clients: Trivet[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  node = await startNode();
  other = await connect({ url: server.url });
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

afterAll(async () => {
  await other?.close();
  await node?.stop();
  await server?.stop();
});

const startNode = () =>
  startService('cache-node', { ...natsEnvironment(server), TRIVET_CACHE_LEASE_MS: '500' });

/** A namespace with a near cache that has heard of the node. */
async function withNear(name: string): Promise<CacheNamespace<string>> {
  const client = await connect({ url: server.url });
  clients.push(client);
  const cache = client.cache<string>(name, { near: true });
  await becomesLive(cache);
  return cache;
}

const becomesLive = (cache: CacheNamespace<string>) =>
  expect.poll(() => cache.nearStats()?.live, { timeout: 15_000 }).toBe(true);

test('a second read is answered without a message, until somebody changes the key', async () => {
  const cache = await withNear('reads');
  await other.cache('reads').set('k', 'one');
  expect(await cache.get('k')).toBe('one');
  const before = clients[0]?.nats.connection.stats().outMsgs;
  for (let read = 0; read < 100; read += 1) expect(await cache.get('k')).toBe('one');
  expect(await cache.getMany(['k', 'k'])).toEqual(['one', 'one']);
  expect(await cache.getOrSet('k', () => 'not asked')).toBe('one');
  expect(clients[0]?.nats.connection.stats().outMsgs).toBe(before);
  expect(cache.nearStats()).toMatchObject({ hits: 103, entries: 1, gaps: 0 });
  for (const change of ['two', undefined, 'three']) {
    const theirs = other.cache('reads');
    await (change === undefined ? theirs.delete('k') : theirs.set('k', change));
    await expect.poll(() => cache.get('k')).toBe(change);
  }
});

test('what this process writes it reads at once', async () => {
  const cache = await withNear('own');
  for (let n = 0; n < 200; n += 1) {
    await cache.set('k', `v${n}`);
    expect(await cache.get('k')).toBe(`v${n}`);
    // In one turn, too: the read goes behind the write.
    const [, read] = await Promise.all([cache.set('k', `w${n}`), cache.get('k')]);
    expect(read).toBe(`w${n}`);
  }
  await cache.clear();
  expect(await cache.get('k')).toBeUndefined();
});

test('who reads what this process is writing gets it and asks nobody, or asks when it was refused', async () => {
  const cache = await withNear('meanwhile');
  await cache.set('k', 'one');
  const asked = async () => {
    const { hits, misses } = await other.cache('meanwhile').stats();
    return hits + misses;
  };
  const before = await asked();
  const [, ...reads] = await Promise.all([cache.set('k', 'two'), cache.get('k'), cache.get('k')]);
  expect(reads).toEqual(['two', 'two']);
  expect(await cache.get('k')).toBe('two');
  expect(await asked()).toBe(before);
  // Whether a condition holds only the node knows.
  const [refused, read] = await Promise.allSettled([
    cache.set('k', 'three', { ifVersion: 1 }),
    cache.get('k'),
  ]);
  expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'conflict' } });
  expect(read).toEqual({ status: 'fulfilled', value: 'two' });
  expect(await asked()).toBe(before + 1);
  // An object could be changed by whoever gave it: it is asked for.
  const objects = other.cache<{ n: number }>('meanwhile', { near: true });
  const given = { n: 1 };
  const setting = objects.set('o', given);
  given.n = 2;
  await setting;
  expect(await objects.get('o')).toEqual({ n: 1 });
});

test('those who miss a key at once share one read, and not one from before a write', async () => {
  const cache = await withNear('shared');
  await other.cache('shared').set('k', 'one');
  const before = (await other.cache('shared').stats()).hits;
  const reads = await Promise.all(Array.from({ length: 50 }, () => cache.get('k')));
  expect(new Set(reads)).toEqual(new Set(['one']));
  expect((await other.cache('shared').stats()).hits - before).toBe(1);
  await other.cache('shared').set('k', 'two');
  await expect.poll(() => cache.get('k')).toBe('two');
  const [, , read] = await Promise.all([cache.get('l'), cache.set('l', 'new'), cache.get('l')]);
  expect(read).toBe('new');
});

test('a tag takes the copies that have it and leaves the others', async () => {
  const cache = await withNear('tags');
  const theirs = other.cache('tags');
  await theirs.set('red', '1', { tags: ['colour', 'warm'] });
  await theirs.set('blue', '1', { tags: ['cold'] });
  await theirs.set('plain', '1');
  expect(await cache.getMany(['red', 'blue', 'plain'])).toEqual(['1', '1', '1']);
  await theirs.invalidateTags(['warm']);
  await expect.poll(() => cache.get('red')).toBeUndefined();
  const { misses } = cache.nearStats() ?? { misses: 0 };
  expect(await cache.getMany(['blue', 'plain'])).toEqual(['1', '1']);
  expect(cache.nearStats()?.misses).toBe(misses);
  await cache.invalidateTags(['cold']);
  expect(await cache.get('blue')).toBeUndefined();
});

test('it is off unless asked for: nothing is told, and every read is a message', async () => {
  const cache = other.cache('off');
  await cache.set('k', 'v');
  expect(cache.nearStats()).toBeUndefined();
  expect((await cache.stats()).nearCache).toBe(false);
  await withNear('on');
  expect((await other.cache('on').stats()).nearCache).toBe(true);
});

/** Loses what `isLost` says, on its way from the server to the client. */
function lossy(nats: Nats, isLost: (message: Msg) => boolean): Nats {
  const connection = new Proxy(nats.connection, {
    get(target, name) {
      if (name !== 'subscribe') {
        const member: unknown = Reflect.get(target, name);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return (subject: string, options: { callback: (error: Error | null, message: Msg) => void }) =>
        target.subscribe(subject, {
          ...options,
          callback: (error, message) => {
            if (error !== null || !isLost(message)) options.callback(error, message);
          },
        });
    },
  });
  return { ...nats, connection };
}

test('a lost invalidation is noticed within five seconds, and nothing else is given up', async () => {
  const nats = await connectNats({ url: server.url, name: 'lossy' });
  let losing = false;
  const lossyNats = lossy(nats, (message) => losing && !message.string().includes('heartbeat'));
  const subjects = subjectsFor('trivet');
  const caches = new NearCaches({ nats: lossyNats, clock: systemClock, subjects });
  const near = caches.open('lossy', { near: true }, anyNode(subjects, 'lossy'));
  try {
    const cache = new CacheNamespace<string>(
      { nats: lossyNats, ...(near === undefined ? {} : { near }) },
      { subjects, namespace: 'lossy' },
    );
    await becomesLive(cache);
    const theirs = other.cache('lossy');
    for (const key of ['k', 'kept']) await theirs.set(key, 'old');
    expect(await cache.getMany(['k', 'kept'])).toEqual(['old', 'old']);
    losing = true;
    await theirs.set('k', 'new');
    const lostAt = performance.now();
    expect(await cache.get('k')).toBe('old');
    await expect.poll(() => cache.get('k'), { timeout: 15_000, interval: 20 }).toBe('new');
    expect(performance.now() - lostAt).toBeLessThan(5_000);
    expect(cache.nearStats()).toMatchObject({ gaps: 1, dropped: 0, live: true });
    const { misses } = cache.nearStats() ?? { misses: 0 };
    expect(await cache.get('kept')).toBe('old');
    expect(cache.nearStats()?.misses).toBe(misses);
  } finally {
    caches.stop();
    await nats.connection.close();
  }
});

test('a node that was killed and is there again is heard again, and nothing of before is served', async () => {
  const cache = await withNear('killed');
  await other.cache('killed').set('k', 'old');
  expect(await cache.get('k')).toBe('old');
  await node.kill();
  node = await startNode();
  await expect
    .poll(
      () =>
        other
          .cache('killed')
          .set('k', 'new')
          .then(
            () => 'set',
            () => 'not yet',
          ),
      { timeout: 20_000 },
    )
    .toBe('set');
  await expect.poll(() => cache.get('k').catch(() => 'refused'), { timeout: 15_000 }).toBe('new');
  // It asks for the events again: a node that began anew does not know that somebody listens.
  await becomesLive(cache);
  await cache.get('k');
  await other.cache('killed').set('k', 'newer');
  await expect.poll(() => cache.get('k')).toBe('newer');
});

test(
  'after the connection was lost, what changed meanwhile is read as it is',
  { timeout: 60_000 },
  async () => {
    const cache = await withNear('reconnected');
    await other.cache('reconnected').set('k', 'old');
    expect(await cache.get('k')).toBe('old');
    await server.restart();
    await expect
      .poll(
        () =>
          other
            .cache('reconnected')
            .set('k', 'new')
            .then(
              () => 'set',
              () => 'not yet',
            ),
        { timeout: 20_000 },
      )
      .toBe('set');
    await expect.poll(() => cache.get('k').catch(() => 'refused'), { timeout: 15_000 }).toBe('new');
    await becomesLive(cache);
  },
);

test.each([
  ['near.entriesMax', { entriesMax: 0 }],
  ['near.ttl', { ttl: 'soon' }],
])('a bad %s is refused by its name', (field, near) => {
  expect(() => other.cache('bad', { near })).toThrow(expect.objectContaining({ details: { field } }));
});

test('a client that may not hear what changes works on without a near cache, and says why', async () => {
  const deaf = '{ user: deaf, password: x, permissions: { subscribe: { deny: "trivet.events.cache.>" } } }';
  const services = '{ user: "trivet-service", password: $TRIVET_NATS_PASSWORD }';
  const strict = await startNatsServer({
    config: 'plain',
    plainLines: `no_auth_user: deaf\nauthorization { users: [${deaf}, ${services}] }`,
  });
  const one = await startService('cache-node', natsEnvironment(strict));
  const warn = vi.spyOn(process, 'emitWarning').mockReturnValue();
  const client = await connect({ url: strict.url });
  const cache = client.cache<string>('secrets', { near: true });
  try {
    await expect.poll(() => warn.mock.calls.length, { timeout: 10_000 }).toBe(1);
    expect(warn.mock.calls[0]?.[0]).toMatch(/secrets stays empty: .*Subscription to "trivet.events.cache/);
    for (const value of ['a', 'b']) {
      await cache.set('k', value);
      expect(await cache.get('k')).toBe(value);
    }
    expect(cache.nearStats()).toMatchObject({ live: false, hits: 0 });
  } finally {
    warn.mockRestore();
    await client.close();
    await one.stop();
    await strict.stop();
  }
});
