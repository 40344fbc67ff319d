import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { cacheSlots } from '#shared/protocol/cache-slots.ts';
import { readSlots } from '#shared/protocol/slot-text.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type RunningCache, startCache } from './running-cache.ts';

const names = ['cache-node-1', 'cache-node-2', 'cache-node-3'];
const keys = Array.from({ length: 600 }, (_, n) => `key-${n}`);
const isDeleted = (n: number): boolean => n % 10 === 0;

let data: string;
let cache: RunningCache;
let nodes: ServiceProcess[];

const environmentOf = (name: string) => ({
  TRIVET_NAME: name,
  TRIVET_DATA: join(data, name),
  TRIVET_CACHE_LEASE_MS: '2000',
  // A disk that is slow for a moment is none that is gone, of which another test is.
  TRIVET_CACHE_DEADLINE_MS: '5000',
});

const start = async (name: string, more: Readonly<Record<string, string>> = {}): Promise<void> => {
  const env = { ...natsEnvironment(cache.server), ...environmentOf(name), ...more };
  nodes.push(await startService('cache-node', env));
};

/** Every slot has its node, and nothing moves. */
const settled = (...expected: string[]) =>
  vi.waitFor(
    async () => {
      const map = (await cache.send('trivet.cache.map', '')).body as {
        nodes: { name: string }[];
        owners: string;
        moving: number;
      };
      const found = map.nodes.map(({ name }) => name);
      expect([map.moving, ...found.sort()]).toEqual([0, ...expected]);
      const owned = readSlots(map.owners, found)?.filter((owner) => owner !== undefined);
      expect(owned).toHaveLength(cacheSlots);
    },
    { timeout: 20_000, interval: 100 },
  );

/** Not every node may have the map yet that one of them has shown: `unavailable` is to be asked again. */
async function served(operation: string, body: object): Promise<unknown> {
  for (;;) {
    const reply = await cache.ask('f', operation, body);
    if (reply.status === 0) return reply.body;
    expect(reply.body).toMatchObject({ error: { code: 'unavailable', details: { notDone: true } } });
    await delay(20);
  }
}

async function values(): Promise<readonly unknown[]> {
  const found: unknown[] = [];
  for (let from = 0; from < keys.length; from += 100) {
    const some = { keys: keys.slice(from, from + 100) };
    const { items } = (await served('get-many', some)) as { items: { value?: unknown }[] };
    found.push(...items.map(({ value }) => value));
  }
  return found;
}

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'trivet-cache-'));
  cache = await startCache(environmentOf('cache-node-1'));
  nodes = [cache.node];
  await Promise.all([start('cache-node-2'), start('cache-node-3')]);
  await settled(...names);
  expect((await cache.ask('f', 'configure', { backend: 'file' })).status).toBe(0);
  const items = keys.map((key, n) => ({ key, value: `${n} ${'x'.repeat(500)}` }));
  expect((await cache.ask('f', 'set-many', { items })).status).toBe(0);
  await cache.ask('f', 'delete-many', { keys: keys.filter((_, n) => isDeleted(n)) });
});

afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await cache.stop();
  await rm(data, { recursive: true, force: true });
});

test('nodes that end together find all that they had when they are started again, and what was deleted is not there', async () => {
  const before = await values();
  expect(before.filter((value) => value !== undefined)).toHaveLength(keys.length * 0.9);
  expect(await Promise.all(nodes.splice(0).map((node) => node.stop()))).toEqual([0, 0, 0]);
  // On a machine that is busy one may be there seconds after another.
  await Promise.all(names.map((name) => start(name, { TRIVET_CACHE_RETURN_MS: '20000' })));
  await settled(...names);
  expect(await values()).toEqual(before);
});

test('who does not come back is waited for, then its keys are served without what it had, which does not come back either', async () => {
  const before = await values();
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
  await Promise.all([start('cache-node-1'), start('cache-node-2')]);
  await settled('cache-node-1', 'cache-node-2');
  // How much each one had in the end depends on who was the last to leave.
  const left = await values();
  for (const [n, value] of left.entries()) expect([before[n], undefined]).toContain(value);
  const missed = keys.filter((_, n) => left[n] === undefined);
  const items = missed.slice(0, missed.length / 2).map((key) => ({ key, value: 'new' }));
  await served('set-many', { items });
  const since = await values();
  await start('cache-node-3');
  await settled(...names);
  expect(await values()).toEqual(since);
});

test('the quota of a namespace is divided among the files of all nodes, and those that come back keep theirs', async () => {
  const entriesMax = 300;
  expect((await cache.ask('f', 'configure', { entriesMax })).status).toBe(0);
  const fill = async (name: string) => {
    for (let from = 0; from < 2_000; from += 200) {
      const items = Array.from({ length: 200 }, (_, n) => ({ key: `${name}-${from + n}`, value: n }));
      await served('set-many', { items });
    }
  };
  const entries = async () => ((await served('stats', {})) as { entries: number }).entries;
  await fill('a');
  await vi.waitFor(async () => expect(await entries()).toBeLessThanOrEqual(entriesMax), { timeout: 5_000 });
  const before = await entries();
  expect(before).toBeGreaterThan(entriesMax - names.length);
  await Promise.all(nodes.splice(0).map((node) => node.stop()));
  await Promise.all(names.map((name) => start(name, { TRIVET_CACHE_RETURN_MS: '20000' })));
  await settled(...names);
  await delay(1_500);
  // Whoever leaves hands over what it has, and the others' parts of the quota are not filled evenly.
  expect(await entries()).toBeGreaterThan(before * 0.9);
});
