import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite';
import { createCache } from 'cache-manager';
import { Keyv } from 'keyv';
import * as vitest from 'vitest';
import { type Trivet, connect } from '#shared/client/client.ts';
import { KeyvTrivet } from '#shared/client/keyv.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

const { afterAll, beforeAll, describe, expect, test } = vitest;

let server: RunningNatsServer;
let node: ServiceProcess;
let trivet: Trivet;

beforeAll(async () => {
  server = await startNatsServer();
  node = await startService('cache-node', { ...natsEnvironment(server), TRIVET_CACHE_LEASE_MS: '10000' });
  trivet = await connect({ url: server.url });
});

afterAll(async () => {
  await trivet?.close();
  await node?.stop();
  await server?.stop();
});

const store = (name = 'keyv') => new KeyvTrivet(trivet.cache<string>(name));

describe('the official test suite of Keyv passes', () => {
  // The suite is written for an older vitest; what it uses of it is the same.
  const asSuite = vitest as unknown as Parameters<typeof keyvTestSuite>[0];
  keyvTestSuite(asSuite, Keyv, () => store());
  keyvIteratorTests(asSuite, Keyv, () => store());
});

test('many are set and got in a message each, and a clear of one namespace leaves the others', async () => {
  const users = new Keyv({ store: store('shared'), namespace: 'users' });
  const teams = new Keyv({ store: store('shared'), namespace: 'teams' });
  await users.setMany(Array.from({ length: 1_200 }, (_, n) => ({ key: `k${n}`, value: n })));
  await teams.set('k1', 'theirs');
  expect(await users.getMany(['k0', 'k1199', 'none'])).toEqual([0, 1_199, undefined]);
  expect(await users.hasMany(['k0', 'none'])).toEqual([true, false]);
  await users.clear();
  expect(await users.getMany(['k0', 'k1199'])).toEqual([undefined, undefined]);
  expect(await teams.get('k1')).toBe('theirs');
});

test('a ttl is kept by the cache itself, and without one that of the namespace counts', async () => {
  const keyv = new Keyv({ store: store('lives') });
  const cache = trivet.cache('lives');
  await cache.configure({ defaultTtl: '1h' });
  await keyv.set('short', 1, 60_000);
  await keyv.set('usual', 1);
  expect((await cache.getEntry('keyv:short'))?.ttlMs).toBeLessThanOrEqual(60_000);
  expect((await cache.getEntry('keyv:usual'))?.ttlMs).toBeGreaterThan(3_000_000);
  expect((await cache.getEntry('keyv:usual'))?.ttlMs).toBeLessThanOrEqual(3_600_000);
});

test('a cache that is not there is an error of Keyv, and not a miss', async () => {
  const { url, user, password } = server;
  const nowhere = await connect({ url, user, password, prefix: 'elsewhere' });
  const adapter = new KeyvTrivet(nowhere.cache<string>('k', { timeoutMs: 500 }));
  const keyv = new Keyv({ store: adapter });
  const errors: unknown[] = [];
  keyv.on('error', (error) => errors.push(error));
  await keyv.set('a', 1);
  expect(errors).toMatchObject([{ code: 'unavailable' }]);
  await expect(adapter.get('keyv:a')).rejects.toMatchObject({ code: 'unavailable' });
  await nowhere.close();
});

test('cache-manager works on it: wrap, ttl, mget, clear', async () => {
  const cache = createCache({ stores: [new Keyv({ store: store('manager') })], ttl: 60_000 });
  let fills = 0;
  const load = () =>
    cache.wrap('user:1', async () => {
      fills += 1;
      return Promise.resolve({ name: 'Ada' });
    });
  expect([await load(), await load(), fills]).toEqual([{ name: 'Ada' }, { name: 'Ada' }, 1]);
  await cache.mset([
    { key: 'a', value: 1 },
    { key: 'b', value: 2 },
  ]);
  expect(await cache.mget(['a', 'b', 'c'])).toEqual([1, 2, undefined]);
  expect(await cache.ttl('a')).toBeGreaterThan(Date.now());
  await cache.del('a');
  expect(await cache.get('a')).toBeUndefined();
  await cache.clear();
  expect(await cache.get('b')).toBeUndefined();
});
