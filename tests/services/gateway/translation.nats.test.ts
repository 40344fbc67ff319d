import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type ErrorCode, errorTable } from '#shared/protocol/errors.ts';
import type { RunningGateway } from './running-gateway.ts';
import { type Reply, type Seen, StandIns } from './stand-ins.ts';

let standIns: StandIns;
let gateway: RunningGateway;
beforeAll(async () => {
  standIns = await StandIns.start();
  ({ gateway } = standIns);
});
afterAll(() => standIns.stop());
afterEach(() => standIns.afterTest());

const standIn = (subject: string, reply: (seen: Seen) => Reply): Promise<Seen[]> =>
  standIns.answer(subject, reply);

const leased = { id: '0-7', queue: 'mails', token: 42, payload: { to: 'a' } };

test('dequeue passes max, lease and worker on, and answers the items', async () => {
  const seen = await standIn('trivet.queue.*.*', () => ({ value: { items: [leased] } }));
  const path = '/queue/mails/dequeue?max=10&lease=45s&worker=w-1';
  const reply = await gateway.call('GET', path);
  expect(reply).toMatchObject({ status: 200, body: { items: [leased] } });
  expect(reply.headers.get('cache-control')).toBe('no-store');
  expect(seen).toMatchObject([
    { subject: 'trivet.queue.mails.dequeue', body: { max: 10, lease: '45s', worker: 'w-1', wait: 0 } },
  ]);
});

test.each([
  ['GET', '/queue/mails/dequeue', {}],
  ['POST', '/v1/queues/mails/dequeue', {}],
  ['POST', '/v1/queues/mails/dequeue', { body: { max: 2 } }],
])('%s %s: no item is 204 without a body', async (method, path, options) => {
  await standIn('trivet.queue.*.*', () => ({ value: { items: [] } }));
  expect(await gateway.call(method, path, options)).toMatchObject({ status: 204, text: '' });
});

test('a long wait is asked for in pieces, until an item comes', async () => {
  const waits: number[] = [];
  const subscription = gateway.connection.subscribe('trivet.queue.mails.dequeue', {
    callback: (_error, message) => {
      const { wait } = message.json<{ wait: number }>();
      waits.push(wait);
      const items = waits.length === 2 ? [leased] : [];
      setTimeout(() => message.respond(JSON.stringify({ items })), waits.length === 2 ? 0 : wait);
    },
  });
  standIns.undoAfterTest(() => subscription.unsubscribe());
  await gateway.connection.flush();
  const reply = await gateway.call('GET', '/queue/mails/dequeue?wait=8s');
  expect(reply).toMatchObject({ status: 200, body: { items: [leased] } });
  expect(waits).toHaveLength(2);
  expect(waits[0]).toBe(5_000);
  expect(waits[1]).toBeGreaterThan(2_000);
  expect(waits[1]).toBeLessThanOrEqual(3_000);
});

test('an answer that does not wait, as of a paused queue, is not asked for again', async () => {
  const seen = await standIn('trivet.queue.mails.dequeue', () => ({ value: { items: [] } }));
  expect((await gateway.call('GET', '/queue/mails/dequeue?wait=30s')).status).toBe(204);
  expect(seen).toHaveLength(1);
});

test('items for a caller who is gone are handed back, uncharged', async () => {
  const abort = new AbortController();
  const released = Promise.withResolvers<Seen>();
  await standIn('trivet.queue.mails.release', (seen) => {
    released.resolve(seen);
    return { value: { items: [{ id: '0-7', state: 'pending' }] } };
  });
  const subscription = gateway.connection.subscribe('trivet.queue.mails.dequeue', {
    callback: (_error, message) => {
      abort.abort();
      // The answer is sent once the gateway has had the time to notice that the connection is closed.
      setTimeout(() => message.respond(JSON.stringify({ items: [leased] })), 300);
    },
  });
  standIns.undoAfterTest(() => subscription.unsubscribe());
  await gateway.connection.flush();
  const call = gateway.call('GET', '/queue/mails/dequeue?wait=30s', { signal: abort.signal });
  await expect(call).rejects.toThrow('aborted');
  expect((await released.promise).body).toEqual({ items: [{ id: '0-7', token: 42 }] });
  const metrics = await gateway.call('GET', '/metrics');
  expect(metrics.text).toContain('_count{method="GET",route="/queue/:queue_name/dequeue",status="499"} 1');
});

test('a caller who is gone leaves nobody waiting beyond the piece that was asked for', async () => {
  const abort = new AbortController();
  const answered = Promise.withResolvers<void>();
  let asked = 0;
  const subscription = gateway.connection.subscribe('trivet.queue.mails.dequeue', {
    callback: (_error, message) => {
      asked += 1;
      abort.abort();
      setTimeout(() => {
        message.respond(JSON.stringify({ items: [] }));
        answered.resolve();
      }, message.json<{ wait: number }>().wait);
    },
  });
  standIns.undoAfterTest(() => subscription.unsubscribe());
  await gateway.connection.flush();
  const call = gateway.call('GET', '/queue/mails/dequeue?wait=30s', { signal: abort.signal });
  await expect(call).rejects.toThrow('aborted');
  await answered.promise;
  // A round trip through the gateway and NATS: a second request would have been seen by then.
  await gateway.call('GET', '/health/ready');
  await gateway.connection.flush();
  expect(asked).toBe(1);
});

test('complete and fail carry the id of the path', async () => {
  const seen = await standIn('trivet.queue.*.*', () => ({ value: { id: '0-7', state: 'done' } }));
  const result = { sent: true };
  await gateway.call('POST', '/queue/mails/0-7/complete', { body: { token: 42, result } });
  const error = { message: 'smtp', type: 'Timeout' };
  await gateway.call('POST', '/queue/mails/0-7/fail', { body: { token: 42, error, retry: false } });
  expect(seen.map(({ subject, body }) => [subject, body])).toEqual([
    ['trivet.queue.mails.complete', { id: '0-7', token: 42, result }],
    ['trivet.queue.mails.fail', { id: '0-7', token: 42, error, retry: false }],
  ]);
});

test.each([
  [{ operation: 'get', key: 'k' }, 'trivet.cache.default.get', { key: 'k' }],
  [
    { operation: 'set', namespace: 'shop', key: 'k', value: null, ttl: '5m' },
    'trivet.cache.shop.set',
    { key: 'k', value: null, ttl: '5m' },
  ],
  [{ operation: 'delete', key: 'k' }, 'trivet.cache.default.delete', { key: 'k' }],
  [{ operation: 'exists', key: 'k' }, 'trivet.cache.default.exists', { key: 'k' }],
  [{ operation: 'clear', namespace: 'shop' }, 'trivet.cache.shop.clear', {}],
])('the cache operation %j is asked for on %s', async (body, subject, asked) => {
  const seen = await standIn('trivet.cache.*.*', () => ({ value: { hit: true, value: 1 } }));
  const reply = await gateway.call('POST', '/cache/operation', { body });
  expect(reply).toMatchObject({ status: 200, body: { hit: true, value: 1 } });
  expect(seen).toMatchObject([{ subject, body: asked }]);
});

test("a namespace's figures are its answer's stats", async () => {
  await standIn('trivet.cache.*.*', () => ({ value: { namespace: 'shop', entries: 3 } }));
  const body = { operation: 'stats', namespace: 'shop' };
  const reply = await gateway.call('POST', '/cache/operation', { body });
  expect(reply.body).toEqual({ stats: { namespace: 'shop', entries: 3 } });
});

test.each([
  ['/cache/stats', 'trivet.cache.stats', {}],
  ['/queue/stats', 'trivet.queue.stats', {}],
  ['/telemetry/stats', 'trivet.telemetry-query.stats', {}],
  ['/v1/queues/mails/items?state=failed&limit=5', 'trivet.queue.mails.list', { state: 'failed', limit: 5 }],
  ['/v1/queues/mails/items/0-7', 'trivet.queue.mails.get', { id: '0-7' }],
])('GET %s asks %s', async (path, subject, asked) => {
  const seen = await standIn(subject, () => ({ value: { figures: 1 } }));
  expect(await gateway.call('GET', path)).toMatchObject({ status: 200, body: { figures: 1 } });
  expect(seen).toMatchObject([{ subject, body: asked }]);
});

test.each(Object.keys(errorTable) as ErrorCode[])(
  '%s of a service is a problem with its status',
  async (code) => {
    await standIn('trivet.queue.*.*', () => ({ code, details: { currentState: 'done' } }));
    const reply = await gateway.call('POST', '/queue/mails/0-7/complete', { body: { token: 1 } });
    expect(reply.headers.get('content-type')).toContain('application/problem+json');
    expect(reply).toMatchObject({
      status: errorTable[code].status,
      body: { code, detail: `for a test of ${code}`, currentState: 'done' },
    });
  },
);

test('a service that does not answer is 504', async () => {
  await standIn('trivet.cache.stats', () => 'silence');
  expect(await gateway.call('GET', '/cache/stats')).toMatchObject({ status: 504, body: { code: 'timeout' } });
});

test('a service that answers with something else than the protocol is 500, and the gateway lives on', async () => {
  const subscription = gateway.connection.subscribe('trivet.queue.*.*', {
    callback: (_error, message) => {
      message.respond('not JSON');
    },
  });
  standIns.undoAfterTest(() => subscription.unsubscribe());
  await gateway.connection.flush();
  for (const path of ['/queue/mails/dequeue', '/v1/queues/mails/items'])
    expect(await gateway.call('GET', path)).toMatchObject({ status: 500, body: { code: 'internal' } });
  const body = { queue_name: 'mails', payload: 1, headers: {} };
  expect((await gateway.call('POST', '/queue/enqueue', { body })).status).toBe(500);
  expect((await gateway.call('GET', '/health/live')).status).toBe(200);
});

test('the trace context goes along, and what is no trace context does not', async () => {
  const seen = await standIn('trivet.queue.*.*', () => ({ value: { items: [] } }));
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const headers = { traceparent, tracestate: 'vendor=1' };
  await gateway.call('GET', '/queue/mails/dequeue', { headers });
  await gateway.call('GET', '/queue/mails/dequeue', { headers: { traceparent: '00-zz-zz-01' } });
  expect(seen.map((one) => one.headers)).toEqual([headers, {}]);
});

test("metrics hold the collectors' text where one answers", async () => {
  await standIn('trivet.telemetry-query.prometheus', () => ({
    value: { contentType: 'text/plain', text: '# TYPE orders_total counter\norders_total 3\n' },
  }));
  const { text } = await gateway.call('GET', '/metrics');
  expect(text).toMatch(/^# HELP trivet_gateway_/);
  expect(text).toContain('\norders_total 3\n');
});

test.each([{ value: { text: 3 } }, { value: 'text' }, { code: 'internal' as const }])(
  'metrics come without what a collector should not have answered: %j',
  async (reply) => {
    await standIn('trivet.telemetry-query.prometheus', () => reply);
    const { status, text } = await gateway.call('GET', '/metrics');
    expect(status).toBe(200);
    expect(text).toMatch(/_dropped_total [0-9]+\n$/);
  },
);
