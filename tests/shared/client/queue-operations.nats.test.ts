import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Trivet } from '#shared/client/client.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
let trivet: Trivet;

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
afterAll(() => client.stop());

const stateOf = (queue: string, id: string) => async () => (await trivet.queue(queue).get(id)).state;
const numbers = (length: number) => Array.from({ length }, (_, payload) => ({ payload }));

test('every item is listed once, over as many pages as it takes', async () => {
  const queue = trivet.queue<number>('pages');
  await queue.addMany(numbers(25));
  const seen: unknown[] = [];
  for await (const item of queue.items({ state: 'pending', limit: 10 })) seen.push(item.payload);
  expect(seen).toEqual(numbers(25).map((one) => one.payload));
});

test('an item that waits is edited, rescheduled, and replaced or put off by its key', async () => {
  const queue = trivet.queue<{ v: number }>('edited');
  const { id } = await queue.add({ v: 1 }, { key: 'k' });
  expect(await queue.update(id, { payload: { v: 2 }, priority: 'high', delay: '1h' })).toMatchObject({
    state: 'scheduled',
  });
  expect(await queue.get(id)).toMatchObject({ payload: { v: 2 }, priority: 'high' });
  expect(await queue.add({ v: 3 }, { key: 'k', onDuplicate: 'replace' })).toMatchObject({
    id,
    duplicate: true,
    replaced: true,
  });
  expect(await queue.get(id)).toMatchObject({ payload: { v: 3 } });
  expect(await queue.add({ v: 4 }, { key: 'k', onDuplicate: 'debounce', delay: '2h' })).toMatchObject({
    id,
    replaced: true,
  });
  expect(await queue.add({ v: 5 }, { key: 'k' })).toMatchObject({ id, duplicate: true });
  expect((await queue.get(id)).payload).toEqual({ v: 4 });
  await queue.update(id, { delay: 0 });
  const worker = trivet.worker('edited', () => undefined);
  await expect.poll(stateOf('edited', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  await expect(queue.update(id, { priority: 'low' })).rejects.toMatchObject({ code: 'wrong_state' });
});
