import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { RunningGateway } from './running-gateway.ts';
import { type Reply, type Seen, StandIns, respond } from './stand-ins.ts';

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

const enqueued = { id: '0-1', queue: 'mails', state: 'pending', priority: 'normal', duplicate: false };

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
  standIns.undoAfterTest(() => subscription.unsubscribe());
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
  standIns.undoAfterTest(() => subscription.unsubscribe());
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
        respond(message, { code: 'queue_full' });
        return;
      }
      room -= items.length;
      message.respond(
        JSON.stringify({ items: items.map(() => ({ id: '0-1', state: 'pending', duplicate: false })) }),
      );
    },
  });
  standIns.undoAfterTest(() => subscription.unsubscribe());
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
  standIns.undoAfterTest(() => subscription.unsubscribe());
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
