import { afterAll, beforeAll, expect, test } from 'vitest';
import type { QueueEvent, Trivet } from '#shared/client/client.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
let trivet: Trivet;

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
afterAll(() => client.stop());

test('the life of an item is heard state by state, on another connection', async () => {
  const events = (await client.another()).queue('heard').events();
  // The subscription stands when the server has answered what was sent after it.
  await (await client.another()).nats.connection.flush();
  const worker = trivet.worker('heard', () => undefined);
  const heard: QueueEvent[] = [];
  const listening = (async () => {
    for await (const event of events) {
      heard.push(event);
      if (event.state === 'done') break;
    }
  })();
  const { id } = await trivet.queue('heard').add('x', { priority: 'high', delay: '50ms' });
  await listening;
  await worker.stop();
  expect(heard.map((event) => event.state)).toEqual(['scheduled', 'pending', 'processing', 'done']);
  expect(heard[3]).toMatchObject({ queue: 'heard', id, priority: 'high', attempt: 1 });
});

test('an iteration ends with its signal, and gives what had come before', async () => {
  const ending = new AbortController();
  const queue = trivet.queue('ending');
  const events = queue.events({ states: ['pending', 'cancelled'], signal: ending.signal });
  const { id } = await queue.add('x');
  await queue.cancel(id);
  const first = await events.next();
  expect(first.value).toMatchObject({ state: 'pending', id });
  await expect.poll(async () => (await queue.stats()).counts.cancelled).toBe(1);
  ending.abort();
  const rest: unknown[] = [];
  for await (const event of events) rest.push(event.state);
  expect(rest.length).toBeLessThanOrEqual(1);
  expect(await events.next()).toEqual({ done: true, value: undefined });
  const late = queue.events({ signal: AbortSignal.abort() });
  expect(await late.next()).toEqual({ done: true, value: undefined });
});

test('a listener hears its state alone, until it is taken off', async () => {
  const queue = trivet.queue('listened');
  const heard: string[] = [];
  const off = queue.on('cancelled', (event) => heard.push(event.id));
  const ids = (await Promise.all([queue.add(1), queue.add(2)])).map((added) => added.id);
  await queue.cancel(ids[0] ?? '');
  await expect.poll(() => heard, { timeout: 5_000 }).toEqual([ids[0]]);
  off();
  const all = queue.events({ states: ['cancelled'] });
  await queue.cancel(ids[1] ?? '');
  expect((await all.next()).value).toMatchObject({ id: ids[1] });
  await all.return?.();
  expect(heard).toEqual([ids[0]]);
});

test('what is no event is not heard, whoever sent it', async () => {
  const queue = trivet.queue('forged');
  const events = queue.events();
  const service = await client.another({ user: client.server.user, password: client.server.password });
  const subject = trivet.subjects.queueEvents('forged', 'done');
  for (const body of ['no JSON', '{"id":1}', '7']) service.nats.connection.publish(subject, body);
  await service.nats.connection.flush();
  const { id } = await queue.add('x');
  expect((await events.next()).value).toMatchObject({ state: 'pending', id });
  await events.return?.();
});
