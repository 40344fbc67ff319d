import { jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { partitionOf } from '#shared/protocol/partition.ts';
import { type RunningQueue, partitions, startQueue } from './running-queue.ts';

// NATS does not check reply subjects: whoever may publish plainly can make nats-server write its PubAck anywhere in
// the account of the stream. Clients are in another account (nats.conf); on a NATS without accounts, they are not.

let queue: RunningQueue;
/** In the account of the streams, as everybody is on a NATS without accounts. */
let within: NatsConnection;
beforeAll(async () => {
  queue = await startQueue();
  const { url: servers, user, password: pass } = queue.server;
  within = await connect({ servers, user, pass });
});
afterAll(async () => {
  await within.close();
  await queue.stop();
});

const name = 'victim';
const partition = partitionOf(name, partitions);
const elsewhere = 'elsewhere';

/** Asks until the broker serves again: it gives the partition up when its log was tampered with. */
async function untilAnswered(operation: string, body: unknown): Promise<unknown> {
  return expect
    .poll(
      async () => {
        const reply = await queue.ask(name, operation, body).catch(() => undefined);
        return reply?.status === 0 ? reply.body : undefined;
      },
      { timeout: 20_000, interval: 100 },
    )
    .toBeDefined();
}

test.each(['log', 'fence'])(
  'a PubAck that is sent into the %s does not stop the queue, nor a later start',
  async (subject) => {
    const broker = await queue.startBroker();
    const before = await queue.ask(name, 'enqueue', { before: subject });
    expect(before.status).toBe(0);
    within.publish('trivet.jobs.other', '{}', { reply: `trivet.${subject}.${partition}` });
    await within.flush();
    await untilAnswered('enqueue', { after: subject });
    await broker.kill();
    const next = await queue.startBroker();
    await untilAnswered('enqueue', { later: subject });
    const listed = await queue.ask(name, 'list', { state: 'pending', limit: 500 });
    const payloads = (listed.body as { items: { payload: Record<string, string> }[] }).items.map(
      (item) => item.payload,
    );
    for (const word of ['before', 'after', 'later']) expect(payloads).toContainEqual({ [word]: subject });
    await next.stop();
  },
);

test('a PubAck that is sent into the lease does not take the queue away', async () => {
  const broker = await queue.startBroker();
  await untilAnswered('stats', {});
  for (let round = 0; round < 5; round += 1) {
    within.publish('trivet.jobs.other', '{}', { reply: '$KV.TRIVET_LEASES.owner' });
    await within.flush();
    expect((await queue.ask(name, 'enqueue', { round })).status).toBe(0);
    // Long enough for the owner to renew over what stands there.
    await expect
      .poll(() => broker.output().includes('gives the partitions up'), { timeout: 1_000 })
      .toBe(false);
  }
  const deadline = Date.now() + 3_000;
  await expect.poll(() => Date.now() > deadline, { timeout: 5_000 }).toBe(true);
  expect((await queue.ask(name, 'enqueue', { last: true })).status).toBe(0);
  expect(broker.output()).not.toContain('gives the partitions up');
  await broker.stop();
});

test('a client cannot make anybody write into a log, a fence, a lease or JetStream itself', async () => {
  expect(partitionOf(elsewhere, partitions)).not.toBe(partition);
  const broker = await queue.startBroker();
  await untilAnswered('stats', {});
  const manager = await jetstreamManager(within);
  const stream = async (of: string) => (await manager.streams.info(of)).state;
  const before = await stream(`TRIVET_LOG_${partition}`);
  const targets = [
    `trivet.log.${partition}`,
    `trivet.fence.${partition}`,
    '$KV.TRIVET_LEASES.owner',
    `$JS.API.STREAM.PURGE.TRIVET_LOG_${partition}`,
    'trivet.ingest.0.forged',
    'trivet.jobs.forged',
  ];
  let heard = 0;
  for (const target of targets) within.subscribe(target, { callback: () => void (heard += 1) });
  await within.flush();
  heard = 0;
  for (const target of targets) {
    for (const subject of [
      // Of another partition: what is taken in there stands in no record of this one.
      `trivet.jobs.${elsewhere}`,
      `trivet.queue.${name}.stats`,
      'trivet.queue.stats',
      'trivet.telemetry.metric',
      '$SRV.PING',
    ])
      queue.client.publish(subject, '{}', { reply: target });
  }
  await queue.client.flush();
  // One request after the other on one connection: when this one is answered, those before it were dealt with.
  await untilAnswered('enqueue', { after: 'the forgeries' });
  await within.flush();
  const after = await stream(`TRIVET_LOG_${partition}`);
  // The enqueue, and at most the renewals that a lease takes anyway.
  expect(after.first_seq).toBe(before.first_seq);
  expect(after.last_seq - before.last_seq).toBeLessThanOrEqual(2);
  const renewals = 5;
  expect(heard).toBeLessThanOrEqual(2 + renewals);
  expect(broker.output()).not.toMatch(/foreign|gives the partitions up/);
  await broker.stop();
});
