import { afterEach, beforeEach, expect, test } from 'vitest';
import { slotOf } from '#shared/protocol/cache-slots.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';
import { type RunningCache, startCache } from './running-cache.ts';
import { mapOf, settledMapOf } from './settled-map.ts';

// The bound is that of a user: with other tests beside it, it is the machine that is measured.

const namespace = 'n';
const keys = Array.from({ length: 500 }, (_, n) => `key-${n}`);

let cache: RunningCache;
let second: ServiceProcess | undefined;

beforeEach(async () => {
  cache = await startCache({ TRIVET_CACHE_LEASE_MS: '2000' }, 4_000);
});

afterEach(async () => {
  await second?.kill();
  await cache?.stop();
});

test('a node that is killed is out of the map within three seconds, and versions go on growing', async () => {
  second = await startService('cache-node', { ...natsEnvironment(cache.server), TRIVET_NAME: 'second' });
  const { ownerNames } = await settledMapOf(cache, ['cache-node-1', 'second']);
  await cache.ask(namespace, 'set-many', { items: keys.map((key, value) => ({ key, value })) });
  const key = keys.find((one) => ownerNames[slotOf(namespace, one)] === 'second') ?? '';
  const before = (await cache.ask(namespace, 'get', { key })).body as { version: number };
  await second.kill();
  const killedMs = performance.now();
  let isOut = false;
  while (!isOut) isOut = (await mapOf(cache)).nodes.length === 1;
  // The request that asked takes its time, too, on a busy machine.
  expect(performance.now() - killedMs).toBeLessThan(3_000);
  expect((await cache.ask(namespace, 'get', { key })).body).toEqual({ hit: false });
  const after = (await cache.ask(namespace, 'set', { key, value: 1 })).body as { version: number };
  expect(after.version).toBeGreaterThan(before.version);
  const others = keys.filter((one) => ownerNames[slotOf(namespace, one)] !== 'second');
  const kept = (await cache.ask(namespace, 'get-many', { keys: others })).body as {
    items: { hit: boolean }[];
  };
  expect(kept.items.every((item) => item.hit)).toBe(true);
});
