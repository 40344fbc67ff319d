import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Reply, type RunningQueue, leased, startQueue } from './running-queue.ts';

// The smallest log that is allowed: requests that come one by one fill it with the overhead of their records.
const smallest = { TRIVET_LOG_BYTES_MAX: String(1_048_576) };

let queue: RunningQueue;
beforeAll(async () => {
  queue = await startQueue();
});
afterAll(() => queue?.stop());

const full = { status: 429, body: { error: { code: 'queue_full' } } };

/** Asks until the answer is another one than success. */
async function untilRefused(operation: string, body: unknown): Promise<Reply> {
  for (let asked = 0; asked < 5_000; asked += 1) {
    const reply = await queue.ask('small', operation, body);
    if (reply.status !== 0) return reply;
  }
  throw new Error(`${operation} was never refused`);
}

test('a log that fills up refuses new items, then everything but questions, and a larger limit opens it', async () => {
  const broker = await queue.startBroker('queue-broker-1', smallest);
  expect(await untilRefused('enqueue', { n: 1 })).toMatchObject(full);
  // What is there can still be finished.
  const [item, held] = leased(await queue.ask('small', 'dequeue', { max: 2, lease: '1h' }));
  expect(await queue.ask('small', 'complete', { id: item?.id, token: item?.token })).toMatchObject({
    status: 0,
  });
  const extension = { id: held?.id, token: held?.token, lease: '1h' };
  expect(await untilRefused('extend', extension)).toMatchObject(full);
  expect(await queue.ask('small', 'stats')).toMatchObject({ status: 0, body: { counts: { done: 1 } } });

  await broker.kill();
  const next = await queue.startBroker('queue-broker-1', smallest);
  expect(await queue.ask('small', 'get', { id: item?.id })).toMatchObject({ body: { state: 'done' } });
  expect(await queue.ask('small', 'enqueue', {})).toMatchObject(full);
  await next.stop();

  await queue.startBroker('queue-broker-1', { TRIVET_LOG_BYTES_MAX: String(4 * 1_048_576) });
  for (const [operation, body] of [
    ['extend', extension],
    ['enqueue', {}],
  ] as const)
    expect(await queue.ask('small', operation, body)).toMatchObject({ status: 0 });
}, 120_000);
