import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type Reply, type RunningCache, startCache } from './running-cache.ts';

const leaseMs = 400;
const lease = { TRIVET_CACHE_LEASE_MS: String(leaseMs) };

let cache: RunningCache;
const others: ServiceProcess[] = [];

beforeEach(async () => {
  cache = await startCache(lease, 500);
});

afterEach(async () => {
  await Promise.all(others.splice(0).map((other) => other.stop()));
  await cache?.stop();
});

async function startNode(name: string): Promise<ServiceProcess> {
  const env = { ...natsEnvironment(cache.server), ...lease, TRIVET_NAME: name };
  const node = await startService('cache-node', env);
  others.push(node);
  return node;
}

const get = async (key: string) => (await cache.ask('n', 'get', { key })).body;
const set = (key: string, value: unknown) => cache.ask('n', 'set', { key, value });

/** Asks until the cache answers, and gives its answer back. */
async function served(ask: () => Promise<Reply>): Promise<unknown> {
  for (;;) {
    try {
      const { status, body } = await ask();
      if (status === 0) return body;
    } catch {
      // Nobody listens just now, or a paused process does: that is what is waited for.
    }
    await delay(20);
  }
}

const untilServed = () => served(() => cache.ask('n', 'exists', { key: 'any' }));

test('with three nodes every request sees what every other one wrote', async () => {
  await Promise.all([startNode('second'), startNode('third')]);
  for (let n = 0; n < 200; n += 1) {
    await set('a', n);
    expect(await get('a')).toMatchObject({ hit: true, value: n });
    await cache.ask('n', 'delete', { key: 'a' });
    expect(await get('a')).toEqual({ hit: false });
  }
  expect((await cache.send('trivet.cache.stats', '')).body).toMatchObject({
    sets: 200,
    hits: 200,
    misses: 200,
  });
});

test('when the owner ends in an orderly way, a standby answers', async () => {
  const second = await startNode('second');
  await set('a', 1);
  expect(await cache.node.stop()).toBe(0);
  await untilServed();
  expect(await get('a')).toEqual({ hit: false });
  await set('a', 2);
  expect(await get('a')).toMatchObject({ value: 2 });
  expect(second.output()).toContain('this node owns the cache');
});

test('when the owner is killed, a standby answers, and versions go on growing', async () => {
  await startNode('second');
  const before = (await set('a', 1)).body as { version: number };
  await cache.node.kill();
  const killedMs = performance.now();
  await untilServed();
  expect(performance.now() - killedMs).toBeLessThan(5 * leaseMs);
  const after = (await set('a', 2)).body as { version: number };
  expect(after.version).toBeGreaterThan(before.version);
});

test('an owner that was paused serves nothing of what it held before', async () => {
  const second = await startNode('second');
  await set('a', 'old');
  process.kill(cache.node.pid, 'SIGSTOP');
  await expect.poll(() => second.output(), { timeout: 5_000 }).toContain('this node owns the cache');
  await served(() => set('a', 'new'));
  process.kill(cache.node.pid, 'SIGCONT');
  for (let n = 0; n < 100; n += 1) {
    // While both listen, the former owner refuses what it gets; it never answers with the old value.
    expect(await served(() => cache.ask('n', 'get', { key: 'a' }))).toMatchObject({ value: 'new' });
  }
});

test('a node that was killed comes back at once under its name', async () => {
  await set('a', 1);
  await cache.node.kill();
  await startNode('cache-node-1');
  expect(await get('a')).toEqual({ hit: false });
});

test('what is held outlives a restart of nats-server', async () => {
  await set('a', 1);
  await cache.server.restart();
  await untilServed();
  expect(await get('a')).toMatchObject({ value: 1 });
});

test('a second process under the same name ends the first', async () => {
  await startNode('cache-node-1');
  await expect.poll(() => isRunning(cache.node.pid), { timeout: 5_000 }).toBe(false);
  expect(cache.node.output()).toContain('another process runs under the name cache-node-1');
  await set('a', 1);
  expect(await get('a')).toMatchObject({ value: 1 });
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
