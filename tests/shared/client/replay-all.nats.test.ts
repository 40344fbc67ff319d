import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;

beforeAll(async () => {
  client = await startClient();
});
afterAll(() => client.stop());

test('all that failed is replayed once, also where it fails again at once', async () => {
  const { trivet } = client;
  const queue = trivet.queue<number>('hopeless');
  await queue.addMany(
    Array.from({ length: 1_200 }, (_, payload) => ({ payload, options: { maxAttempts: 1 } })),
  );
  const runs = new Map<number, number>();
  const worker = trivet.worker<number>(
    'hopeless',
    (payload) => {
      runs.set(payload, (runs.get(payload) ?? 0) + 1);
      throw new Error('no');
    },
    { concurrency: 1_000 },
  );
  const failed = async () => (await queue.stats()).counts.failed;
  await expect.poll(failed, { timeout: 20_000 }).toBe(1_200);
  expect(await queue.replayAll()).toBe(1_200);
  await expect.poll(failed, { timeout: 20_000 }).toBe(1_200);
  await worker.stop();
  expect([...new Set(runs.values())]).toEqual([2]);
});

test('a page of failed items leads to the next one, and a cursor that is none is refused', async () => {
  const { trivet } = client;
  const queue = trivet.queue<number>('paged');
  const worker = trivet.worker<number>('paged', () => Promise.reject(new Error('no')));
  await queue.addMany([1, 2, 3].map((payload) => ({ payload, options: { maxAttempts: 1 } })));
  await expect.poll(async () => (await queue.stats()).counts.failed, { timeout: 10_000 }).toBe(3);
  await worker.stop();
  const replay = async (body: object): Promise<Record<string, unknown>> =>
    (
      await trivet.nats.connection.request('trivet.queue.paged.replay', JSON.stringify(body), {
        timeout: 5_000,
      })
    ).json();
  const { count, cursor } = await replay({ state: 'failed', limit: 2 });
  expect([count, typeof cursor]).toEqual([2, 'string']);
  expect(await replay({ state: 'failed', limit: 2, cursor })).toEqual({ count: 1 });
  const refused = { error: { code: 'invalid_request', details: { field: 'cursor' } } };
  expect(await replay({ state: 'failed', cursor: 'zzzz' })).toMatchObject(refused);
  expect(await replay({ id: '0-1', cursor: '1' })).toMatchObject(refused);
});
