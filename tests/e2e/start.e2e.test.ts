import { type NatsConnection, connect } from '@nats-io/transport-node';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import type { ReadyCluster } from '#services/cli/ready-screen.ts';
import { processesOf, type StartedCluster, startCluster } from '#tests/services/cli/started-cluster.ts';

import { call, itemsOf } from './http-call.ts';

// `npm start` with everything in it, from outside: what its users do, and what happens to them.

const entry = join(process.cwd(), 'services', 'cli', 'start.ts');
// Five processes begin to serve on a machine that may have two cores and other work.
const startMsMax = 60_000;

let shared: ReadyCluster;
let sharedCluster: StartedCluster;
let nats: NatsConnection;
beforeAll(async () => {
  sharedCluster = await startCluster({ entry });
  shared = await sharedCluster.ready();
  nats = await connect({ servers: shared.nats });
}, startMsMax);
afterAll(async () => {
  await nats?.close();
  await sharedCluster?.cleanUp();
});

const own: StartedCluster[] = [];
afterEach(async () => {
  await Promise.all(own.splice(0).map((cluster) => cluster.cleanUp()));
});

async function start(options: { readonly dir?: string; readonly args?: readonly string[] } = {}) {
  const cluster = await startCluster({ entry, ...options });
  own.push(cluster);
  return { cluster, ready: await cluster.ready() };
}

async function interrupt(cluster: StartedCluster): Promise<void> {
  cluster.process.kill('SIGINT');
  expect(await cluster.ended()).toBe(0);
}

/** One item through HTTP, from its enqueue to its result. */
async function work(cluster: ReadyCluster, queue: string): Promise<void> {
  const payload = { at: queue };
  const enqueued = await call(cluster, '/queue/enqueue', { queue_name: queue, payload });
  expect(enqueued).toMatchObject({ status: 201 });
  const id = String(enqueued.body?.['id']);
  const [item] = itemsOf(await call(cluster, `/queue/${queue}/dequeue?wait=10s`));
  expect(item).toMatchObject({ id, payload, attempt: 1 });
  const done = await call(cluster, `/queue/${queue}/${id}/complete`, { token: item?.token, result: 42 });
  expect(done).toMatchObject({ status: 200, body: { state: 'done' } });
  expect(await call(cluster, `/v1/queues/${queue}/items/${id}`)).toMatchObject({
    status: 200,
    body: { state: 'done', result: 42 },
  });
}

const statusOf = async (cluster: ReadyCluster, path: string) => (await call(cluster, path)).status;

const request = async (subject: string, body: object): Promise<Record<string, unknown>> =>
  (await nats.request(subject, JSON.stringify(body), { timeout: 15_000 })).json();

test('the ready line names loopback addresses, a token, the data folder and one process of each kind', () => {
  expect(shared.nats).toMatch(/^nats:\/\/127\.0\.0\.1:[1-9]\d*$/);
  expect(shared.http).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  expect(shared.token.length).toBeGreaterThanOrEqual(16);
  expect(shared.data).toBe(sharedCluster.dir);
  const { 'nats-server': server, ...services } = shared.pids;
  expect(server).toBeGreaterThan(1);
  expect(Object.entries(services).map(([name, pids]) => [name, pids.length])).toEqual([
    ['queue-broker', 1],
    ['cache-node', 1],
    ['telemetry-collector', 1],
    ['gateway', 1],
  ]);
});

test('a job goes from enqueue to its result over HTTP', () => work(shared, 'over-http'));

test('HTTP without the token of the ready line is refused', async () => {
  const stranger = { ...shared, token: 'not-the-token-at-all' };
  expect(await call(stranger, '/queue/enqueue', { queue_name: 'q', payload: 1 })).toMatchObject({
    status: 401,
  });
});

test('any NATS client can enqueue, dequeue and complete, and HTTP sees the same item', async () => {
  const { id } = await request('trivet.queue.raw.enqueue', { to: 'world' });
  const { items } = await request('trivet.queue.raw.dequeue', { wait: '10s' });
  const [item] = items as { id: string; token: number }[];
  expect(item).toMatchObject({ id, payload: { to: 'world' } });
  const completed = await request('trivet.queue.raw.complete', { id, token: item?.token });
  expect(completed).toMatchObject({ id, state: 'done' });
  expect(await call(shared, `/v1/queues/raw/items/${String(id)}`)).toMatchObject({ body: { state: 'done' } });
});

test('a plain publish becomes a job', async () => {
  nats.publish('trivet.jobs.published', JSON.stringify({ file: 'a.md' }));
  const [item] = itemsOf(await call(shared, '/queue/published/dequeue?wait=10s'));
  expect(item).toMatchObject({ payload: { file: 'a.md' }, attempt: 1 });
});

test('what is cached over NATS is read over HTTP', async () => {
  await request('trivet.cache.pages.set', { key: 'home', value: { title: 'Ü' }, ttl: '5m' });
  const read = { operation: 'get', namespace: 'pages', key: 'home' };
  expect(await call(shared, '/cache/operation', read)).toMatchObject({
    status: 200,
    body: { hit: true, value: { title: 'Ü' } },
  });
});

test('a recorded metric is counted, and Prometheus can scrape it', async () => {
  const metric = { type: 'metric', name: 'orders_of_the_day', value: 3, metric_type: 'counter' };
  expect(await call(shared, '/telemetry/record', metric)).toMatchObject({ body: { accepted: 1 } });
  const received = async () => {
    const { body } = await call(shared, '/telemetry/stats');
    return (body?.['kinds'] as { metric: { received: number } } | undefined)?.metric.received;
  };
  await expect.poll(received, { timeout: 10_000 }).toBeGreaterThanOrEqual(1);
  const scrape = async () => {
    const headers = { authorization: `Bearer ${shared.token}` };
    return (await fetch(`${shared.http}/metrics`, { headers })).text();
  };
  await expect.poll(scrape, { timeout: 10_000 }).toMatch(/^orders_of_the_day.* 3$/m);
});

test('every kind of process answers `nats micro ping`', async () => {
  const names = async () => {
    const found = new Set<string>();
    for await (const reply of await nats.requestMany('$SRV.PING', '', { maxWait: 1_000 }))
      found.add(reply.json<{ name: string }>().name);
    return [...found].sort();
  };
  const all = ['trivet-cache', 'trivet-gateway', 'trivet-queue', 'trivet-telemetry'];
  await expect.poll(names, { timeout: 10_000 }).toEqual(all);
});

test(
  'a second start finds what the first one had, also what was published while no broker ran',
  { timeout: 3 * startMsMax },
  async () => {
    const first = await start();
    const { dir } = first.cluster;
    await call(first.ready, '/queue/enqueue', { queue_name: 'kept', payload: 'before' });
    await interrupt(first.cluster);
    expect(await processesOf(dir)).toEqual([]);

    const withoutBroker = await start({ dir, args: ['--brokers', '0'] });
    const publisher = await connect({ servers: withoutBroker.ready.nats });
    // The reply to a captured publish is JetStream's: it has it.
    const stored = await publisher.request('trivet.jobs.kept', '"meanwhile"', { timeout: 10_000 });
    expect(stored.json()).toMatchObject({ seq: expect.any(Number) });
    await publisher.close();
    await interrupt(withoutBroker.cluster);

    const { ready, cluster } = await start({ dir });
    expect(ready.token).toBe(first.ready.token);
    const payloads: unknown[] = [];
    for (let tries = 0; payloads.length < 2 && tries < 5; tries += 1) {
      const answer = await call(ready, '/queue/kept/dequeue?max=10&wait=5s');
      payloads.push(...itemsOf(answer).map(({ payload }) => payload));
    }
    expect(payloads).toEqual(['before', 'meanwhile']);
    await interrupt(cluster);
    expect(await processesOf(dir)).toEqual([]);
  },
);

test(
  'each process that is killed comes back, and the cluster works as before',
  { timeout: 3 * startMsMax },
  async () => {
    const { cluster, ready } = await start();
    await work(ready, 'before-the-blows');
    const blows = [
      ['queue-broker', 'queue-broker-1'],
      ['cache-node', 'cache-node-1'],
      ['telemetry-collector', 'telemetry-collector-1'],
      ['gateway', 'gateway-1'],
      ['nats-server', 'nats-server'],
    ] as const;
    for (const [kind, name] of blows) {
      const [pid] = [ready.pids[kind] ?? []].flat();
      expect(pid).toBeGreaterThan(1);
      process.kill(pid ?? 0, 'SIGKILL');
      await cluster.line(`${name} serves again`);
      // What was under way when its process died is the caller's to repeat.
      for (const path of ['/queue/stats', '/cache/stats', '/telemetry/stats'])
        await expect.poll(() => statusOf(ready, path), { timeout: 20_000 }).toBe(200);
      await work(ready, `after-${kind}`);
    }
    await interrupt(cluster);
    expect(await processesOf(cluster.dir)).toEqual([]);
  },
);
