import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningQueue, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

const send = (operation: string, text: string) => queue.send(`trivet.queue.forms.${operation}`, text);

test('a number that is counted with may be written as JSON allows, and of payloads every digit stays', async () => {
  expect(await send('configure', '{"maxSize":1e6,"lease":4.5e4,"concurrency":{"total":20.0}}')).toMatchObject(
    {
      status: 0,
      body: { settings: { maxSize: 1_000_000, lease: 45_000, concurrency: { total: 20 } } },
    },
  );
  // The second item is wrong, so the batch is read by the schemas: that says nothing about the first.
  const made = await send(
    'enqueue-many',
    '{"items":[{"payload":1.10,"maxAttempts":7.0},{"payload":1,"no":1}]}',
  );
  expect(made).toMatchObject({
    body: { items: [{ state: 'pending' }, { error: { code: 'invalid_request' } }] },
  });
  const [{ id = '' } = {}] = (made.body as { items: { id?: string }[] }).items;
  expect(
    await send('update', `{"id":"${id}","delay":3.6e6,"payload":{"n":12345678901234567890}}`),
  ).toMatchObject({
    body: { id, state: 'scheduled' },
  });
  const { maxAttempts } = shown(await queue.ask('forms', 'get', { id }));
  expect(maxAttempts).toBe(7);
  const reply = await queue.client.request('trivet.queue.forms.get', JSON.stringify({ id }));
  expect(reply.string()).toContain('"payload":{"n":12345678901234567890}');
  const flow = '{"payload":1,"children":[{"queue":"forms","payload":2.0,"maxAttempts":3.0}]}';
  expect(await send('enqueue-flow', flow)).toMatchObject({ status: 0, body: { children: 1 } });
});
