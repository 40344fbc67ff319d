import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstream } from '@nats-io/jetstream';
import type { TSchema } from 'typebox';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CacheResponse } from '#shared/protocol/cache-schemas.ts';
import {
  CacheStatsList,
  Completed,
  Dequeued,
  Failed,
  QueueResponse,
  QueueStatsList,
  TelemetryStats,
} from '#shared/protocol/http-schemas.ts';
import { QueueItemPage } from '#shared/protocol/queue-reply-schemas.ts';
import { QueueItem } from '#shared/protocol/queue-schemas.ts';
import { TelemetryResponse } from '#shared/protocol/telemetry-records.ts';
import { validator } from '#shared/protocol/validation.ts';
import {
  type ServiceName,
  type ServiceProcess,
  natsEnvironment,
  startService,
} from '#tests/support/service-process.ts';
import { type Answered, type RunningGateway, startGateway } from './running-gateway.ts';

// The endpoints against the real services, each a process of its own. Every answer is held against the schema that
// OpenAPI publishes for it.

let gateway: RunningGateway;
let data: string;
const services: ServiceProcess[] = [];
beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'trivet-gateway-'));
  gateway = await startGateway();
  const start = (name: ServiceName) =>
    startService(name, {
      ...natsEnvironment(gateway.nats),
      TRIVET_NAME: `${name}-1`,
      TRIVET_DATA: join(data, name),
      TRIVET_PARTITIONS: '4',
    });
  services.push(
    ...(await Promise.all([start('queue-broker'), start('cache-node'), start('telemetry-collector')])),
  );
});
afterAll(async () => {
  await Promise.all(services.map((service) => service.stop()));
  await gateway.stop();
  await rm(data, { recursive: true, force: true });
});

function expectAnswer(answer: Answered, status: number, schema: TSchema): void {
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status });
  expect(validator(schema)(answer.body)).toMatchObject({ ok: true });
}

const post = (path: string, body: unknown) => gateway.call('POST', path, { body });

async function enqueue(queue: string, options: object = {}): Promise<string> {
  const answer = await post('/queue/enqueue', { queue_name: queue, payload: { n: 1 }, ...options });
  expectAnswer(answer, 201, QueueResponse);
  return String(answer.body['id']);
}

async function dequeue(
  queue: string,
  query = '',
): Promise<{ id: string; token: number; payload: unknown }[]> {
  const answer = await gateway.call('GET', `/queue/${queue}/dequeue${query}`);
  if (answer.status === 204) return [];
  expectAnswer(answer, 200, Dequeued);
  return answer.body['items'] as { id: string; token: number; payload: unknown }[];
}

test('an item is enqueued, leased, completed, and can be looked at all the while', async () => {
  const id = await enqueue('life', { priority: 'high', max_retries: 0 });
  const [item] = await dequeue('life');
  expect(item).toMatchObject({ id, payload: { n: 1 }, priority: 'high', attempt: 1, maxAttempts: 1 });
  expect(await dequeue('life')).toEqual([]);
  const done = await post(`/queue/life/${id}/complete`, { token: item?.token, result: { ok: true } });
  expectAnswer(done, 200, Completed);
  const seen = await gateway.call('GET', `/v1/queues/life/items/${id}`);
  expectAnswer(seen, 200, QueueItem);
  expect(seen.body).toMatchObject({ state: 'done', result: { ok: true } });
});

test('completing again with the same token gives the same answer, with another one 409', async () => {
  const id = await enqueue('again');
  const [item] = await dequeue('again');
  const path = `/queue/again/${id}/complete`;
  const first = await post(path, { token: item?.token });
  expect(await post(path, { token: item?.token })).toMatchObject({ status: 200, body: first.body });
  const late = await post(path, { token: (item?.token ?? 0) + 1 });
  expect(late).toMatchObject({ status: 409, body: { code: 'lease_lost' } });
});

test('a failed item is tried again, until it may not', async () => {
  const id = await enqueue('fails', { max_retries: 1, backoff: 'fixed:0s' });
  const error = { message: 'smtp', type: 'Timeout' };
  for (const state of ['retry', 'failed']) {
    const [item] = await dequeue('fails', '?wait=5s');
    const answer = await post(`/queue/fails/${id}/fail`, { token: item?.token, error });
    expectAnswer(answer, 200, Failed);
    expect(answer.body['state']).toBe(state);
  }
  expect((await gateway.call('GET', `/v1/queues/fails/items/${id}`)).body).toMatchObject({
    state: 'failed',
    attempts: [{ error }, { error }],
  });
});

test('an idempotency key makes one item of two requests', async () => {
  const options = { idempotency_key: 'order-1', priority: 'low' };
  const id = await enqueue('once', options);
  expect(await enqueue('once', options)).toBe(id);
});

test('user headers and what no NATS header can carry arrive as they were sent, and are deduplicated', async () => {
  const headers = { 'x-tenant': 'Ü 7' };
  const body = { queue_name: 'odd', payload: 1, headers, group: ' g\n', idempotency_key: ' k ' };
  const first = await post('/queue/enqueue', { ...body, priority: 'high' });
  expectAnswer(first, 201, QueueResponse);
  const second = await post('/queue/enqueue', body);
  expectAnswer(second, 201, QueueResponse);
  expect(second.body).toEqual({ ...first.body, duplicate: true });
  const { body: item } = await gateway.call('GET', `/v1/queues/odd/items/${String(first.body['id'])}`);
  expect(item).toMatchObject({ headers, group: ' g\n', key: ' k ' });
});

test('a dequeue that waits gets what is enqueued meanwhile', async () => {
  const waiting = dequeue('waits', '?wait=20s');
  const id = await enqueue('waits');
  expect(await waiting).toMatchObject([{ id }]);
});

test('a dequeue that waits in vain is 204 when its time is over', async () => {
  const startedMs = performance.now();
  expect((await gateway.call('GET', '/queue/vain/dequeue?wait=1s')).status).toBe(204);
  expect(performance.now() - startedMs).toBeGreaterThan(900);
});

test('a caller who hangs up takes nothing along', async () => {
  const abort = new AbortController();
  const call = gateway.call('GET', '/queue/hung-up/dequeue?wait=30s&lease=1h', { signal: abort.signal });
  // A round trip behind it, so that the dequeue is with the broker by now.
  await gateway.call('GET', '/queue/stats');
  abort.abort();
  await expect(call).rejects.toThrow('aborted');
  const id = await enqueue('hung-up');
  expect(await dequeue('hung-up', '?wait=10s')).toMatchObject([{ id, attempt: 1 }]);
});

test('many items come by their priority, and a page of the list follows the other', async () => {
  for (const priority of ['low', 'normal', 'critical', 'high']) await enqueue('many', { priority });
  const items = await gateway.call('POST', '/v1/queues/many/dequeue', { body: { max: 10 } });
  const order = (items.body['items'] as { priority: string }[]).map(({ priority }) => priority);
  expect(order).toEqual(['critical', 'high', 'normal', 'low']);
  const page = await gateway.call('GET', '/v1/queues/many/items?limit=3&state=processing');
  expectAnswer(page, 200, QueueItemPage);
  expect(page.body['items']).toHaveLength(3);
  const next = `/v1/queues/many/items?limit=3&state=processing&cursor=${String(page.body['cursor'])}`;
  expect((await gateway.call('GET', next)).body['items']).toHaveLength(1);
});

test("the queues' figures are there", async () => {
  await enqueue('figures');
  const answer = await gateway.call('GET', '/queue/stats');
  expectAnswer(answer, 200, QueueStatsList);
  const queues = answer.body['queues'] as { queue: string; counts: { pending: number } }[];
  expect(queues.find(({ queue }) => queue === 'figures')?.counts.pending).toBe(1);
  const first = await gateway.call('GET', '/queue/stats?limit=1');
  expectAnswer(first, 200, QueueStatsList);
  expect(first.body['cursor']).toBe(queues[0]?.queue);
  const rest = await gateway.call('GET', `/queue/stats?cursor=${String(first.body['cursor'])}`);
  expect(rest.body['queues']).toHaveLength(queues.length - 1);
});

test.each([
  ['/v1/queues/life/items/0-zzz', 404, 'not_found'],
  ['/v1/queues/never-used/items/0-1', 404, 'not_found'],
])('GET %s is %i', async (path, status, code) => {
  expect(await gateway.call('GET', path)).toMatchObject({ status, body: { code } });
});

test.each([
  [{ delay: '9999d' }, 400, 'delay'],
  [{ payload: 'x'.repeat(1_048_577) }, 413, 'payload'],
])(
  'what only the broker can refuse is refused in the words of the caller (%#)',
  async (options, status, field) => {
    const answer = await post('/queue/enqueue', { queue_name: 'limits', payload: 1, ...options });
    expect(answer).toMatchObject({ status, body: { field } });
  },
);

test('a cache entry is set, read, counted and deleted', async () => {
  const operate = async (body: object) => {
    const answer = await post('/cache/operation', { namespace: 'shop', ...body });
    expectAnswer(answer, 200, CacheResponse);
    return answer.body;
  };
  const value = { name: 'Ü', n: [1, null] };
  // Who asks for what nobody has written leaves nothing behind, and no miss of a namespace that there is not.
  expect(await operate({ operation: 'get', key: 'k' })).toMatchObject({ hit: false });
  expect(await operate({ operation: 'set', key: 'k', value, ttl: '5m' })).toHaveProperty('version');
  expect(await operate({ operation: 'get', key: 'none' })).toMatchObject({ hit: false });
  expect(await operate({ operation: 'get', key: 'k' })).toMatchObject({ hit: true, value });
  expect(await operate({ operation: 'exists', key: 'k' })).toEqual({ exists: true });
  expect(await operate({ operation: 'stats' })).toMatchObject({ stats: { hits: 1, misses: 1, entries: 1 } });
  expect(await operate({ operation: 'delete', key: 'k' })).toEqual({ deleted: true });
  await operate({ operation: 'set', key: 'other', value: 1 });
  expect(await operate({ operation: 'clear' })).toEqual({ cleared: 1 });
  expect(await operate({ operation: 'exists', key: 'other' })).toEqual({ exists: false });
});

test.each([
  [{ operation: 'get' }, 'key'],
  [{ operation: 'set', key: 'k' }, 'value'],
  [{ operation: 'get', key: 'k', ttl: '5m' }, 'ttl'],
  [{ operation: 'clear', key: 'k' }, 'key'],
])('the cache refuses %j by naming %s', async (body, field) => {
  expect(await post('/cache/operation', body)).toMatchObject({ status: 400, body: { field } });
});

test("the cache's figures are there, in all and by namespace", async () => {
  await post('/cache/operation', { operation: 'set', namespace: 'figures', key: 'k', value: 1 });
  const answer = await gateway.call('GET', '/cache/stats');
  expectAnswer(answer, 200, CacheStatsList);
  expect(answer.body['namespaces']).toEqual(
    expect.arrayContaining([expect.objectContaining({ namespace: 'figures', entries: 1 })]),
  );
});

test('the gateway is ready when the others answer', async () => {
  const answer = await gateway.call('GET', '/health/ready', { headers: { authorization: '' } });
  expect(answer).toMatchObject({ status: 200, body: { status: 'ready' } });
});

test('records of every kind arrive, and bad ones beside them are listed', async () => {
  const answer = await post('/telemetry/record', [
    { type: 'metric', name: 'orders_from_http', value: 3, metric_type: 'counter', tags: { shop: 'a' } },
    { type: 'event', name: 'login', level: 'info' },
    { type: 'metric', name: 'no value' },
    { type: 'performance', operation: 'checkout', durationMs: 12.5, success: true },
    { type: 'error', message: 'boom', error_type: 'TypeError' },
    { type: 'log', message: 'hello' },
  ]);
  expectAnswer(answer, 200, TelemetryResponse);
  expect(answer.body).toEqual({
    accepted: 5,
    rejected: [{ index: 2, error: expect.objectContaining({ code: 'invalid_request' }) }],
  });
  const received = async () => {
    const stats = await gateway.call('GET', '/telemetry/stats');
    expectAnswer(stats, 200, TelemetryStats);
    const kinds = stats.body['kinds'] as Record<string, { received: number; deadLettered: number }>;
    return ['metric', 'event', 'performance', 'error', 'log'].map((kind) => [
      kinds[kind]?.received,
      kinds[kind]?.deadLettered,
    ]);
  };
  const once = [1, 0];
  await expect.poll(received, { timeout: 10_000 }).toEqual([once, once, once, once, once]);
});

test('one bad record alone is 400', async () => {
  const answer = await post('/telemetry/record', { type: 'metric', name: 'x' });
  expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request', field: 'value' } });
});

test('a publish to a name that no queue can have takes no figure away', async () => {
  await enqueue('beside-no-queue');
  await jetstream(gateway.connection).publish('trivet.jobs.no$queue', '1');
  const text = async () => (await gateway.call('GET', '/metrics')).text;
  await expect
    .poll(text, { timeout: 10_000 })
    .toContain('trivet_queue_items{queue="no$queue",state="failed"} 1');
  expect(await text()).toContain('trivet_queue_items{queue="beside-no-queue",state="pending"} 1');
  expectAnswer(await gateway.call('GET', '/queue/stats'), 200, QueueStatsList);
});

test("the collectors' metrics stand beside the gateway's own", async () => {
  await post('/telemetry/record', { type: 'metric', name: 'scraped', value: 7, metric_type: 'gauge' });
  const text = async () => (await gateway.call('GET', '/metrics')).text;
  await expect.poll(text, { timeout: 10_000 }).toMatch(/^scraped.* 7$/m);
  const metrics = await text();
  expect(metrics).toContain('trivet_gateway_http_request_duration_seconds_bucket');
  // Two families of one name would make the whole text invalid.
  const families = [...metrics.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
  expect(new Set(families).size).toBe(families.length);
});
