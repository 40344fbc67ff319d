import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type RunningQueue, leased, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeEach(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterEach(() => queue?.stop());

const enqueued = async (name: string) => shown(await queue.ask(name, 'enqueue', { n: 1 })).id;

test('a result is given at once when there is one, and an unknown item is not waited for', async () => {
  const id = await enqueued('ready');
  const [item] = leased(await queue.ask('ready', 'dequeue'));
  expect((await queue.ask('ready', 'result', { id })).body).toMatchObject({ id, state: 'processing' });
  await queue.ask('ready', 'complete', { id, token: item?.token, result: { sum: 5 } });
  expect((await queue.ask('ready', 'result', { id, wait: '60s' })).body).toMatchObject({
    id,
    state: 'done',
    result: { sum: 5 },
    payload: { n: 1 },
  });
  const unknown = await queue.ask('ready', 'result', { id: '0-zzzz', wait: '60s' });
  expect(unknown).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
});

test('many wait for one item, in both encodings, and all hear it while other items come and go', async () => {
  const id = await enqueued('awaited');
  const [item] = leased(await queue.ask('awaited', 'dequeue'));
  const waiting = Array.from({ length: 50 }, (_, n) =>
    queue[n % 2 === 0 ? 'ask' : 'askPacked']('awaited', 'result', { id, wait: '9s' }),
  );
  for (let n = 0; n < 20; n += 1) {
    await enqueued('awaited');
    const [other] = leased(await queue.ask('awaited', 'dequeue'));
    await queue.ask('awaited', 'complete', { id: other?.id, token: other?.token, result: n });
  }
  await queue.ask('awaited', 'complete', { id, token: item?.token, result: 'ours' });
  for (const reply of await Promise.all(waiting))
    expect(reply.body).toMatchObject({ id, state: 'done', result: 'ours' });
});

test('whoever waits for an item that fails or is cancelled hears that', async () => {
  const failing = await enqueued('ending');
  const [item] = leased(await queue.ask('ending', 'dequeue'));
  const failed = queue.ask('ending', 'result', { id: failing, wait: '9s' });
  const error = { message: 'no', type: 'Meant' };
  await queue.ask('ending', 'fail', { id: failing, token: item?.token, error, retry: false });
  expect((await failed).body).toMatchObject({ state: 'failed', attempts: [{ error }] });
  const id = await enqueued('ending');
  const cancelled = queue.ask('ending', 'result', { id, wait: '9s' });
  await queue.ask('ending', 'cancel', { id });
  expect((await cancelled).body).toMatchObject({ id, state: 'cancelled' });
});

test('the result of an item that is not kept reaches whoever waits for it', async () => {
  await queue.ask('unkept', 'configure', { retention: { done: { count: 0 } } });
  const id = await enqueued('unkept');
  const [item] = leased(await queue.ask('unkept', 'dequeue'));
  const waiting = queue.ask('unkept', 'result', { id, wait: '9s' });
  await queue.ask('unkept', 'complete', { id, token: item?.token, result: 'short-lived' });
  expect((await waiting).body).toMatchObject({ id, state: 'done', result: 'short-lived', payload: { n: 1 } });
  expect(await queue.ask('unkept', 'result', { id })).toMatchObject({ status: 404 });
});

test('when the wait is over the answer is the item as it is', async () => {
  const id = await enqueued('slow');
  const startedMs = performance.now();
  expect((await queue.ask('slow', 'result', { id, wait: '300ms' })).body).toMatchObject({
    id,
    state: 'pending',
  });
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(295);
});

test('a broker that stops sends away who waits, and the next one can be asked', async () => {
  const id = await enqueued('handed-over');
  const waiting = queue.ask('handed-over', 'result', { id, wait: '60s' });
  await queue.ask('handed-over', 'stats');
  const stopped = broker.stop();
  expect(await waiting).toMatchObject({ status: 503, body: { error: { code: 'unavailable' } } });
  expect(await stopped).toBe(0);
  await queue.startBroker();
  const again = queue.ask('handed-over', 'result', { id, wait: '9s' });
  const [item] = leased(await queue.ask('handed-over', 'dequeue'));
  await queue.ask('handed-over', 'complete', { id, token: item?.token, result: 1 });
  expect((await again).body).toMatchObject({ state: 'done', result: 1 });
});

test('results and progress in JSON have every digit, for a parent and after a restart too', async () => {
  const exact = '{"n":12345678901234567890,"price":1.10}';
  const { client } = queue;
  const text = async (name: string, operation: string, body: string) =>
    (await client.request(`trivet.queue.${name}.${operation}`, body)).string();
  const children = [{ queue: 'exact', payload: 1 }];
  const parent = shown(await queue.ask('parents', 'enqueue-flow', { payload: 1, children })).id;
  const [item] = leased(await queue.ask('exact', 'dequeue', { wait: '5s' }));
  const named = `"id":"${item?.id}","token":${item?.token}`;
  expect(await text('exact', 'extend', `{${named},"lease":"1m","progress":${exact}}`)).toContain('"id"');
  expect(await text('exact', 'complete', `{"items":[{${named},"result":${exact}}]}`)).toContain('"done"');
  await broker.kill();
  broker = await queue.startBroker();
  const get = await text('exact', 'get', `{"id":"${item?.id}"}`);
  expect(get).toContain(`"progress":${exact}`);
  expect(get).toContain(`"result":${exact}`);
  expect(await text('exact', 'result', `{"id":"${item?.id}"}`)).toContain(`"result":${exact}`);
  await expect.poll(() => text('parents', 'children', `{"id":"${parent}"}`)).toContain(`"result":${exact}`);
});
