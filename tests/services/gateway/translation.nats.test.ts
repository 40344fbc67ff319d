import { headers as natsHeaders, type Msg } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type ErrorCode, errorTable } from '#shared/protocol/errors.ts';
import { type RunningGateway, startGateway } from './running-gateway.ts';

// What goes over NATS for an HTTP request, and how what comes back is told. The test stands in for the services, so
// that it can see their side and answer what real ones hardly ever do.

let gateway: RunningGateway;
const undo: (() => void)[] = [];
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.stop());
afterEach(() => {
  for (const one of undo.splice(0)) one();
});

interface Seen {
  readonly subject: string;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

type Reply =
  { readonly value: unknown } | { readonly code: ErrorCode; readonly details?: object } | 'silence';

/** Answers on `subject` and remembers what was asked. */
async function standIn(subject: string, reply: (seen: Seen) => Reply): Promise<Seen[]> {
  const all: Seen[] = [];
  const subscription = gateway.connection.subscribe(subject, {
    callback: (_error, message) => {
      const seen = {
        subject: message.subject,
        body: message.data.length === 0 ? undefined : message.json(),
        headers: headersIn(message),
      };
      all.push(seen);
      answer(message, reply(seen));
    },
  });
  undo.push(() => subscription.unsubscribe());
  await gateway.connection.flush();
  return all;
}

const headersIn = (message: Msg): Record<string, string> =>
  Object.fromEntries((message.headers?.keys() ?? []).map((name) => [name, message.headers?.get(name) ?? '']));

function answer(message: Msg, reply: Reply): void {
  if (reply === 'silence') return;
  if ('value' in reply) {
    message.respond(JSON.stringify(reply.value));
    return;
  }
  const headers = natsHeaders();
  headers.set('Nats-Service-Error-Code', String(errorTable[reply.code].status));
  const error = { code: reply.code, message: `for a test of ${reply.code}`, details: reply.details };
  message.respond(JSON.stringify({ error }), { headers });
}

const enqueued = { id: '0-1', queue: 'mails', state: 'pending', priority: 'normal', duplicate: false };
const leased = { id: '0-7', queue: 'mails', token: 42, payload: { to: 'a' } };

/** Answers as `enqueue-many` does: one item for each. */
const enqueuedMany = ({ body }: Seen): Reply => {
  const { items } = body as { readonly items: readonly unknown[] };
  return { value: { items: items.map(() => ({ id: '0-1', state: 'pending', duplicate: false })) } };
};

test('enqueue sends the payload as it came, with its options in the words of the protocol', async () => {
  const raw: string[] = [];
  const subscription = gateway.connection.subscribe('trivet.queue.mails.enqueue-many', {
    callback: (_error, message) => {
      raw.push(message.string());
      message.respond(JSON.stringify({ items: [{ id: '0-1', state: 'pending', duplicate: false }] }));
    },
  });
  undo.push(() => subscription.unsubscribe());
  await gateway.connection.flush();
  const body =
    '{"queue_name":"mails","payload": {"to":"ü","n":9007199254740993,"d":1.10},"priority":"high","delay":"5s","max_retries":2,"idempotency_key":"k-1"}';
  const reply = await gateway.call('POST', '/queue/enqueue', { body });
  expect(reply).toMatchObject({ status: 201, body: { ...enqueued, priority: 'high' } });
  expect(raw).toEqual([
    '{"items":[{"payload":{"to":"ü","n":9007199254740993,"d":1.10},"priority":"high","delay":"5s","maxAttempts":3,"key":"k-1"}]}',
  ]);
});

test('what many callers enqueue in one moment shares messages, and everybody gets an answer of their own', async () => {
  let messages = 0;
  const subscription = gateway.connection.subscribe('trivet.queue.mails.enqueue-many', {
    callback: (_error, message) => {
      messages += 1;
      const { items } = message.json<{ items: { payload: number }[] }>();
      const answers = items.map(({ payload }) =>
        payload % 10 === 0
          ? {
              error: {
                code: 'invalid_request',
                message: 'items[3].delay is odd',
                details: { field: 'items[3].delay' },
              },
            }
          : { id: `0-${payload}`, state: 'pending', duplicate: false },
      );
      message.respond(JSON.stringify({ items: answers }));
    },
  });
  undo.push(() => subscription.unsubscribe());
  await gateway.connection.flush();
  const numbers = Array.from({ length: 200 }, (_, index) => index);
  const replies = await Promise.all(
    numbers.map((payload) =>
      gateway.call('POST', '/queue/enqueue', { body: { queue_name: 'mails', payload } }),
    ),
  );
  for (const [index, reply] of replies.entries()) {
    if (index % 10 === 0)
      expect(reply).toMatchObject({ status: 400, body: { field: 'delay', detail: 'delay is odd' } });
    else expect(reply).toMatchObject({ status: 201, body: { id: `0-${index}` } });
  }
  expect(messages).toBeLessThan(150);
});

test('a batch that is refused as too full is tried in parts: what there is room for is let in, in order', async () => {
  let room = 0;
  const subscription = gateway.connection.subscribe('trivet.queue.small.enqueue-many', {
    callback: (_error, message) => {
      const { items } = message.json<{ items: unknown[] }>();
      if (items.length > room) {
        answer(message, { code: 'queue_full' });
        return;
      }
      room -= items.length;
      message.respond(
        JSON.stringify({ items: items.map(() => ({ id: '0-1', state: 'pending', duplicate: false })) }),
      );
    },
  });
  undo.push(() => subscription.unsubscribe());
  await gateway.connection.flush();
  room = 37;
  const replies = await Promise.all(
    Array.from({ length: 60 }, () =>
      gateway.call('POST', '/queue/enqueue', { body: { queue_name: 'small', payload: 1 } }),
    ),
  );
  expect(replies.filter(({ status }) => status === 201)).toHaveLength(37);
  expect(replies.filter(({ status }) => status === 429)).toHaveLength(23);
});

test.each(['k-9', '"k-9"'])('the header Idempotency-Key: %s is the key of what is enqueued', async (key) => {
  const seen = await standIn('trivet.queue.*.*', enqueuedMany);
  const headers = { 'idempotency-key': key };
  await gateway.call('POST', '/queue/enqueue', { body: { queue_name: 'mails', payload: 1 }, headers });
  const made = await gateway.call('POST', '/v1/queues/mails/enqueue', { body: { payload: 2 }, headers });
  expect(made.headers.get('location')).toBe('/v1/queues/mails/items/0-1');
  expect(seen.map(({ body }) => body)).toEqual([
    { items: [{ payload: 1, key: 'k-9' }] },
    { items: [{ payload: 2, key: 'k-9' }] },
  ]);
});

test('an idempotency key that contradicts the body, or that nobody could keep to, is refused', async () => {
  const headers = { 'idempotency-key': 'k-9' };
  const problem = { status: 400, body: { code: 'invalid_request', field: 'Idempotency-Key' } };
  const both = { queue_name: 'mails', payload: 1, idempotency_key: 'k-1' };
  expect(await gateway.call('POST', '/queue/enqueue', { body: both, headers })).toMatchObject(problem);
  const add = { body: { key: 'k' }, headers };
  expect(await gateway.call('POST', '/v1/cache/shop/increment', add)).toMatchObject(problem);
  const long = { 'idempotency-key': 'x'.repeat(257) };
  const request = { body: { queue_name: 'mails', payload: 1 }, headers: long };
  expect(await gateway.call('POST', '/queue/enqueue', request)).toMatchObject(problem);
});

test('a traced enqueue carries its trace to the item', async () => {
  const seen = await standIn('trivet.queue.*.*', enqueuedMany);
  const headers = {
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    tracestate: 'a=1',
  };
  const body = { queue_name: 'mails', payload: 1, headers: { 'x-tenant': '7' } };
  await gateway.call('POST', '/queue/enqueue', { body, headers });
  expect(seen[0]?.body).toEqual({ items: [{ payload: 1, headers: { ...headers, 'x-tenant': '7' } }] });
});

test('gets of many callers in one moment share messages, and values come as they were stored', async () => {
  let messages = 0;
  const subscription = gateway.connection.subscribe('trivet.cache.shop.*', {
    callback: (_error, message) => {
      messages += 1;
      const { key, keys } = message.json<{ key?: string; keys?: string[] }>();
      const entry = (one: string) => `{"hit":true,"value":[9007199254740993,"${one}]\\\\"],"version":7}`;
      if (key !== undefined) message.respond(entry(key));
      // One that is refused beside the others is asked for alone.
      else
        message.respond(
          `{"items":[${(keys ?? []).map((one, at) => (at === 1 ? '{"error":{"code":"payload_too_large","message":"m"}}' : entry(one))).join(',')}]}`,
        );
    },
  });
  undo.push(() => subscription.unsubscribe());
  await gateway.connection.flush();
  const get = (key: string) =>
    gateway.call('POST', '/cache/operation', { body: { operation: 'get', namespace: 'shop', key } });
  const replies = await Promise.all(Array.from({ length: 200 }, (_, index) => get(`k${index}`)));
  for (const [index, reply] of replies.entries())
    expect(reply.text).toBe(`{"hit":true,"value":[9007199254740993,"k${index}]\\\\"],"version":7}`);
  expect(messages).toBeLessThan(180);
});

test('enqueue with user headers asks for one item of many, and answers as always', async () => {
  const seen = await standIn('trivet.queue.*.*', () => ({
    value: { items: [{ id: '0-1', state: 'pending', duplicate: false }] },
  }));
  const body = { queue_name: 'mails', payload: 1, headers: { 'x-tenant': '7' } };
  const reply = await gateway.call('POST', '/queue/enqueue', { body });
  expect(reply).toMatchObject({ status: 201, body: enqueued });
  expect(seen).toMatchObject([
    {
      subject: 'trivet.queue.mails.enqueue-many',
      body: { items: [{ payload: 1, headers: { 'x-tenant': '7' } }] },
    },
  ]);
});

test('an item that was refused among many is a refusal of the request', async () => {
  const error = { code: 'queue_full', message: 'the queue is full' };
  await standIn('trivet.queue.*.*', () => ({ value: { items: [{ error }] } }));
  const body = { queue_name: 'mails', payload: 1, headers: {} };
  expect(await gateway.call('POST', '/queue/enqueue', { body })).toMatchObject({
    status: 429,
    body: { code: 'queue_full', detail: 'the queue is full' },
  });
});

test("a field that the broker refuses is named in the caller's words", async () => {
  const details = { field: 'items[0].maxAttempts' };
  const error = { code: 'invalid_request', message: 'items[0].maxAttempts is odd', details };
  await standIn('trivet.queue.*.*', () => ({ value: { items: [{ error }] } }));
  const body = { queue_name: 'mails', payload: 1, max_retries: 7 };
  expect(await gateway.call('POST', '/queue/enqueue', { body })).toMatchObject({
    status: 400,
    body: { field: 'max_retries', detail: 'max_retries is odd' },
  });
  const own = { body: { payload: 1, maxAttempts: 7 } };
  expect(await gateway.call('POST', '/v1/queues/mails/enqueue', own)).toMatchObject({
    status: 400,
    body: { field: 'maxAttempts' },
  });
});

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
  undo.push(() => subscription.unsubscribe());
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
  undo.push(() => subscription.unsubscribe());
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
  undo.push(() => subscription.unsubscribe());
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
  undo.push(() => subscription.unsubscribe());
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
