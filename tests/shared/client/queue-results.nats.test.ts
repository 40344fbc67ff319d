import { afterAll, beforeAll, expect, test } from 'vitest';
import { DoNotRetry, ItemNotDone, type Trivet } from '#shared/client/client.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
let trivet: Trivet;

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
afterAll(() => client.stop());

test('whoever added an item can wait for its result', async () => {
  const queue = trivet.queue<number, number>('doubles');
  const worker = trivet.worker<number, number>('doubles', (n) => n * 2);
  const added = await Promise.all([1, 2, 3].map((n) => queue.add(n)));
  expect(await Promise.all(added.map((one) => one.result()))).toEqual([2, 4, 6]);
  // Somebody else knows the id alone, and may come late.
  const late = (await client.another()).queue<number, number>('doubles');
  expect(await late.finished(added[1]?.id ?? '')).toBe(4);
  await worker.stop();
});

test('an item that failed or was cancelled rejects with what it left', async () => {
  const queue = trivet.queue('ends-badly');
  const failed = await queue.add('x');
  const cancelled = await queue.add('y', { delay: '1h' });
  await queue.cancel(cancelled.id);
  const worker = trivet.worker('ends-badly', () => {
    throw new DoNotRetry('no such address');
  });
  const failure = await failed.result().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ItemNotDone);
  expect(failure).toMatchObject({
    message: `item ${failed.id} has failed: no such address`,
    item: { state: 'failed', attempts: [{ error: { type: 'DoNotRetry' } }] },
  });
  await expect(cancelled.result()).rejects.toMatchObject({ item: { state: 'cancelled' } });
  await worker.stop();
});

test('waiting ends with its time, its signal, or when there is no such item', async () => {
  const queue = trivet.queue('never');
  const added = await queue.add('x');
  await expect(added.result({ timeout: '200ms' })).rejects.toMatchObject({ code: 'timeout' });
  const ending = new AbortController();
  const waiting = added.result({ signal: ending.signal });
  ending.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(queue.finished('0-zzzz')).rejects.toMatchObject({ code: 'not_found' });
  await expect(queue.finished(added.id, { timeout: 'soon' })).rejects.toThrow('timeout is not a duration');
  expect(await queue.result(added.id, { wait: '100ms' })).toMatchObject({ state: 'pending' });
});

test('waiting outlives the broker', { timeout: 60_000 }, async () => {
  const queue = trivet.queue<string, string>('patient');
  const added = await queue.add('x');
  const result = added.result();
  await client.replaceBroker();
  const worker = trivet.worker<string, string>('patient', (payload) => payload + payload);
  expect(await result).toBe('xx');
  await worker.stop();
});
