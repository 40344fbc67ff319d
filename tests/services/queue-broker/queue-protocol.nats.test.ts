import { pack, unpack } from 'msgpackr';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Leased, type RunningQueue, leased, listed, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

const refusal = (code: string, status: number) => ({ status, body: { error: { code } } });
const leaseLost = refusal('lease_lost', 409);
const wrongState = refusal('wrong_state', 409);
const id = expect.any(String) as string;

test('an item goes from enqueue over dequeue to complete', async () => {
  const enqueued = await queue.ask('whole-way', 'enqueue', { to: 'ada' }, { 'Trivet-Priority': 'high' });
  expect(enqueued).toMatchObject({
    status: 0,
    body: { id, queue: 'whole-way', state: 'pending', priority: 'high', duplicate: false },
  });
  const item = await take('whole-way', { worker: 'w-1' });
  expect(item).toMatchObject({
    id: shown(enqueued).id,
    queue: 'whole-way',
    priority: 'high',
    state: 'processing',
    attempt: 1,
    maxAttempts: 5,
    payload: { to: 'ada' },
  });
  expect(Date.parse(item.leaseExpiresAt) - Date.now()).toBeGreaterThan(25_000);
  const done = await queue.ask('whole-way', 'complete', { ...held(item), result: { sent: true } });
  expect(done.body).toEqual({ id: item.id, state: 'done' });
  expect((await queue.ask('whole-way', 'get', { id: item.id })).body).toMatchObject({
    state: 'done',
    attempt: 1,
    attempts: [{ attempt: 1, worker: 'w-1', startedAt: id, endedAt: id }],
    result: { sent: true },
    payload: { to: 'ada' },
    transitions: [
      { from: null, to: 'pending', why: 'enqueued' },
      { from: 'pending', to: 'processing', why: 'claimed' },
      { from: 'processing', to: 'done', why: 'completed' },
    ],
  });
});

test('one key is one item, and a bad item among many refuses only itself', async () => {
  const key = { 'Nats-Msg-Id': 'order-7' };
  const first = await queue.ask('keyed', 'enqueue', 1, key);
  const again = await queue.ask('keyed', 'enqueue', 2, key);
  expect(again.body).toEqual({ ...(first.body as object), duplicate: true });
  const many = await queue.ask('keyed', 'enqueue-many', {
    items: [
      { payload: 1, key: 'order-7' },
      { payload: 2, priority: 'urgent' },
      { payload: null, delay: '1h' },
    ],
  });
  expect(many.body).toEqual({
    items: [
      { id: shown(first).id, state: 'pending', duplicate: true },
      {
        error: expect.objectContaining({ code: 'invalid_request', details: { field: 'items[1].priority' } }),
      },
      { id, state: 'scheduled', duplicate: false },
    ],
  });
});

test('a repeated complete, fail or release gives the first answer, and any other word has lost the lease', async () => {
  await queue.ask('repeated', 'enqueue-many', { items: [{ payload: 1 }, { payload: 2 }, { payload: 3 }] });
  const [a, b, c] = leased(await queue.ask('repeated', 'dequeue', { max: 3 }));
  const error = { message: 'no', type: 'Meant' };
  const requests = [
    ['complete', { ...held(a), result: 1 }, { state: 'done' }],
    ['fail', { ...held(b), error, delay: '1h' }, { state: 'retry', attempt: 1, nextAttemptAt: id }],
    ['release', held(c), { state: 'pending' }],
  ] as const;
  for (const [operation, body, answer] of requests) {
    const first = await queue.ask('repeated', operation, body);
    expect(first.body).toEqual({ id: body.id, ...answer });
    expect(await queue.ask('repeated', operation, body)).toEqual(first);
    for (const other of ['complete', 'release', 'extend'].filter((word) => word !== operation)) {
      const more = other === 'extend' ? { lease: '1m' } : {};
      const { id: itemId, token } = body;
      expect(await queue.ask('repeated', other, { id: itemId, token, ...more })).toMatchObject(leaseLost);
    }
  }
  // Handed back at its place and uncharged: the next claim is its first attempt again, with a newer token.
  const next = await take('repeated');
  expect(next).toMatchObject({ id: c?.id, attempt: 1 });
  expect(next.token).toBeGreaterThan(c?.token ?? 0);
  expect(await queue.ask('repeated', 'complete', held(c))).toMatchObject(leaseLost);
});

test('a batch on leased items answers each in order, and fetches the next ones in the same trip', async () => {
  const items = Array.from({ length: 4 }, (_, n) => ({ payload: n }));
  await queue.ask('batches', 'enqueue-many', { items });
  const [a, b] = leased(await queue.ask('batches', 'dequeue', { max: 2 }));
  const reply = await queue.ask('batches', 'complete', {
    items: [held(a), { id: a?.id, token: 1_000_000 }, { id: '0-zzzz', token: 1 }, { token: 1 }],
    fetch: { max: 5, lease: '1m' },
  });
  expect(reply.body).toEqual({
    items: [
      { id: a?.id, state: 'done' },
      { error: expect.objectContaining({ code: 'lease_lost' }) },
      { error: expect.objectContaining({ code: 'not_found' }) },
      { error: expect.objectContaining({ code: 'invalid_request', details: { field: 'items[3].id' } }) },
    ],
    next: [expect.objectContaining({ payload: 2 }), expect.objectContaining({ payload: 3 })],
  });
  const failed = await queue.ask('batches', 'fail', {
    ...held(b),
    error: { message: 'no' },
    retry: false,
    fetch: { max: 1 },
  });
  expect(failed.body).toEqual({ id: b?.id, state: 'failed', attempt: 1, next: [] });
});

test('extend prolongs the lease, keeps progress, and tells of a cancellation', async () => {
  await queue.ask('extended', 'enqueue', 1);
  const item = await take('extended', { lease: '1s' });
  const extended = await queue.ask('extended', 'extend', {
    ...held(item),
    lease: '10m',
    progress: { done: 3 },
  });
  expect(extended.body).toMatchObject({ id: item.id, cancelled: false });
  const { leaseExpiresAt } = extended.body as { leaseExpiresAt: string };
  expect(Date.parse(leaseExpiresAt) - Date.parse(item.leaseExpiresAt)).toBeGreaterThan(500_000);
  expect(await queue.ask('extended', 'get', { id: item.id })).toMatchObject({
    body: { progress: { done: 3 } },
  });

  expect((await queue.ask('extended', 'cancel', { id: item.id })).body).toEqual({
    id: item.id,
    state: 'cancelled',
  });
  const told = await queue.ask('extended', 'extend', { ...held(item), lease: '1m' });
  expect(told).toMatchObject({ status: 0, body: { cancelled: true } });
  expect(await queue.ask('extended', 'complete', held(item))).toMatchObject(wrongState);
  expect(await queue.ask('extended', 'fail', { ...held(item), error: { message: '' } })).toMatchObject(
    wrongState,
  );
});

test('a dequeue with the same Nats-Msg-Id gets the same live claim again', async () => {
  await queue.ask('claims', 'enqueue-many', { items: [{ payload: 1 }, { payload: 2 }, { payload: 3 }] });
  const claim = { 'Nats-Msg-Id': 'claim-1' };
  const first = leased(await queue.ask('claims', 'dequeue', { max: 2 }, claim));
  expect(first).toHaveLength(2);
  expect(leased(await queue.ask('claims', 'dequeue', { max: 2 }, claim))).toEqual(first);
  await queue.ask('claims', 'complete', held(first[0]));
  expect(leased(await queue.ask('claims', 'dequeue', { max: 2 }, claim))).toEqual([first[1]]);
  await queue.ask('claims', 'complete', held(first[1]));
  expect(leased(await queue.ask('claims', 'dequeue', { max: 2 }, claim))).toMatchObject([{ payload: 3 }]);
});

test('priorities go before one another, and each is first in, first out', async () => {
  const priorities = ['low', 'normal', 'critical', 'high', 'low', 'critical', 'normal', 'high'];
  const items = priorities.map((priority, n) => ({ payload: n, priority }));
  await queue.ask('ordered', 'enqueue-many', { items });
  const handed = leased(await queue.ask('ordered', 'dequeue', { max: 100 }));
  expect(handed.map((item) => item.payload)).toEqual([2, 5, 3, 7, 1, 6, 0, 4]);
});

test('what is unknown is not found, whatever is asked of it', async () => {
  const unknown = { id: '0-zzzz', token: 1 };
  await queue.ask('here', 'enqueue', 1);
  const item = await take('here');
  const notFound = refusal('not_found', 404);
  for (const name of ['here', 'there']) {
    const target = name === 'here' ? unknown : held(item);
    expect(await queue.ask(name, 'complete', target)).toMatchObject(notFound);
    expect(await queue.ask(name, 'fail', { ...target, error: { message: '' } })).toMatchObject(notFound);
    expect(await queue.ask(name, 'extend', { ...target, lease: '1m' })).toMatchObject(notFound);
    expect(await queue.ask(name, 'release', target)).toMatchObject(notFound);
    for (const operation of ['get', 'cancel', 'replay'])
      expect(await queue.ask(name, operation, { id: target.id })).toMatchObject(notFound);
    expect(await queue.ask(name, 'reprioritize', { id: target.id, priority: 'low' })).toMatchObject(notFound);
  }
  expect((await queue.ask('there', 'dequeue')).body).toEqual({ items: [] });
});

test('MessagePack carries bytes both ways, and mixes with JSON', async () => {
  const bytes = new Uint8Array([0, 255, 128]);
  const items = [{ payload: bytes }, { payload: { text: 'a' } }];
  expect(await queue.askPacked('packed', 'enqueue-many', { items })).toMatchObject({
    contentType: 'application/msgpack',
    body: { items: [{ state: 'pending' }, { state: 'pending' }] },
  });
  await queue.ask('packed', 'enqueue', { text: 'json' });
  const [raw, value, text] = leased(await queue.askPacked('packed', 'dequeue', { max: 3 }));
  expect(Buffer.from(raw?.payload as Uint8Array)).toEqual(Buffer.from(bytes));
  expect([value?.payload, text?.payload]).toEqual([{ text: 'a' }, { text: 'json' }]);
  await queue.askPacked('packed', 'complete', { ...held(raw), result: { bytes } });
  // In JSON bytes become text: the payload says so by its name.
  const inJson = await queue.ask('packed', 'get', { id: raw?.id });
  expect(inJson.body).toMatchObject({
    payloadBase64: Buffer.from(bytes).toString('base64'),
    result: { bytes: Buffer.from(bytes).toString('base64') },
  });
  const asked = await queue.ask('packed', 'get', { id: value?.id }, { Accept: 'application/msgpack' });
  expect(asked).toMatchObject({ contentType: 'application/msgpack', body: { payload: { text: 'a' } } });
});

test('enqueue takes a body of any content type, and Accept chooses its reply', async () => {
  const text = { 'Content-Type': 'text/plain; charset=utf-8', Accept: 'application/msgpack' };
  const reply = await queue.send('trivet.queue.typed.enqueue', 'plain words', text);
  expect(reply).toMatchObject({ status: 0, contentType: 'application/msgpack' });
  expect(await take('typed')).toMatchObject({
    contentType: 'text/plain; charset=utf-8',
    payloadBase64: Buffer.from('plain words').toString('base64'),
  });
  const packed = { 'Content-Type': 'application/msgpack' };
  await queue.send('trivet.queue.typed.enqueue', pack({ n: 1 }), packed);
  const item = await take('typed');
  expect(unpack(Buffer.from(item.payloadBase64 ?? '', 'base64'))).toEqual({ n: 1 });
  await queue.send('trivet.queue.typed.enqueue', new Uint8Array());
  expect(await take('typed')).toMatchObject({ payloadBase64: '' });
});

test('trace context and other headers are carried from the producer to the worker', async () => {
  const values = {
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    tracestate: 'vendor=1',
    'X-Tenant': 'acme',
  };
  await queue.ask('traced', 'enqueue', 1, values);
  await queue.ask('traced', 'enqueue-many', { items: [{ payload: 2, headers: values }] });
  for (const item of leased(await queue.ask('traced', 'dequeue', { max: 2 })))
    expect(item.headers).toEqual(values);
});

test('a reply that would not fit is not handed out: the rest stays for the next dequeue', async () => {
  const payload = 'x'.repeat(1_000_000);
  for (let n = 0; n < 10; n += 1) await queue.ask('large', 'enqueue', payload);
  const first = leased(await queue.ask('large', 'dequeue', { max: 1_000 }));
  const second = leased(await queue.ask('large', 'dequeue', { max: 1_000 }));
  expect(first.length).toBeLessThan(10);
  expect(first.length + second.length).toBe(10);
  const page = await queue.ask('large', 'list');
  expect(page.status).toBe(0);
  expect(listed(page).length).toBeGreaterThan(0);
});

/** The one item that a dequeue hands out. */
async function take(name: string, body: object = {}): Promise<Leased> {
  const [item] = leased(await queue.ask(name, 'dequeue', body));
  if (item === undefined) throw new Error(`nothing was ready in ${name}`);
  return item;
}

const held = (item: Leased | undefined) => ({ id: item?.id ?? '', token: item?.token ?? 0 });
