import { type JetStreamManager, DiscardPolicy, StorageType, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Reply, type RunningQueue, leased, partitions, startQueue } from './running-queue.ts';

// The smallest log that is allowed: requests that come one by one fill it with the overhead of their records.
const smallest = { TRIVET_LOG_BYTES_MAX: String(1_048_576) };

let queue: RunningQueue;
let service: NatsConnection;
let manager: JetStreamManager;

beforeEach(async () => {
  queue = await startQueue();
  const { url, user, password } = queue.server;
  service = await connect({ servers: url, user, pass: password, inboxPrefix: '_INBOX_TRIVET' });
  manager = await jetstreamManager(service);
});

afterEach(async () => {
  await service.close();
  await queue.stop();
});

const full = { status: 429, body: { error: { code: 'queue_full' } } };
const bucket = (partition: number): string => `TRIVET_SNAPSHOTS_${partition}`;

/** Leaves no room for snapshots, so that no log can be truncated. */
async function blockSnapshots(): Promise<void> {
  for (let partition = 0; partition < partitions; partition += 1) {
    await manager.streams.add({
      name: `OBJ_${bucket(partition)}`,
      subjects: [`$O.${bucket(partition)}.>`],
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_bytes: 1,
      allow_rollup_hdrs: true,
    });
  }
}

async function allowSnapshots(): Promise<void> {
  for (let partition = 0; partition < partitions; partition += 1)
    await manager.streams.delete(`OBJ_${bucket(partition)}`);
}

/** Asks until the answer is another one than success. */
async function untilRefused(operation: string, body: unknown): Promise<Reply> {
  for (let asked = 0; asked < 5_000; asked += 1) {
    const reply = await queue.ask('small', operation, body);
    if (reply.status !== 0) return reply;
  }
  throw new Error(`${operation} was never refused`);
}

test('a log that cannot be truncated refuses new items, then everything but questions, and a larger limit opens it', async () => {
  await blockSnapshots();
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

test('a full log opens by itself as soon as its snapshots can be written', async () => {
  await blockSnapshots();
  const broker = await queue.startBroker('queue-broker-1', smallest);
  expect(await untilRefused('enqueue', { n: 1 })).toMatchObject(full);
  const { body } = await queue.ask('small', 'stats');
  await allowSnapshots();
  const ask = async () => (await queue.ask('small', 'enqueue', { n: 2 })).status;
  await expect.poll(ask, { timeout: 30_000, interval: 200 }).toBe(0);

  const { pending } = (body as { counts: { pending: number } }).counts;
  await broker.kill();
  await queue.startBroker('queue-broker-1', smallest);
  expect(await queue.ask('small', 'stats')).toMatchObject({ body: { counts: { pending: pending + 1 } } });
}, 120_000);
