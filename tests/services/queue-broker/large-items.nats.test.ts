import { afterAll, beforeAll, expect, test } from 'vitest';
import { payloadBytesLimit } from '#shared/protocol/limits.ts';
import { type RunningQueue, leased, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker('queue-broker-1', { TRIVET_PAYLOAD_BYTES_MAX: String(payloadBytesLimit) });
});

afterAll(() => queue?.stop());

// Each number takes four bytes in JSON and nine in MessagePack.
const numbers = `[${'9e9,'.repeat(1_000_000)}1]`;
const enqueue = (name: string) => queue.send(`trivet.queue.${name}.enqueue`, numbers);

test('an item that fits a reply in JSON and none in MessagePack is refused to who asks so, and handed out in JSON', async () => {
  expect(await enqueue('numbers')).toMatchObject({ status: 0 });
  expect(await queue.askPacked('numbers', 'dequeue', { lease: '1h' })).toMatchObject({
    status: 413,
    body: { error: { code: 'payload_too_large' } },
  });
  const [item] = leased(await queue.ask('numbers', 'dequeue', { wait: '5s' }));
  expect(item).toMatchObject({ attempt: 1 });
  expect(item?.payload).toHaveLength(1_000_001);
}, 60_000);

test('what is fetched and does not fit does not keep the answer of a complete back', async () => {
  await queue.ask('fetched', 'enqueue', 1);
  const [held] = leased(await queue.ask('fetched', 'dequeue', { lease: '1h' }));
  await enqueue('fetched');
  const done = { id: held?.id, token: held?.token, fetch: { max: 1 } };
  expect(await queue.askPacked('fetched', 'complete', done)).toMatchObject({
    status: 0,
    body: { id: held?.id, state: 'done', next: [] },
  });
  const [item] = leased(await queue.ask('fetched', 'dequeue', { wait: '5s' }));
  expect(item).toMatchObject({ attempt: 1 });
}, 60_000);
