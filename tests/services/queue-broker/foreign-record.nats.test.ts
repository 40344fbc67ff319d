import { afterAll, beforeAll, expect, test } from 'vitest';
import { partitionOf } from '#shared/protocol/partition.ts';
import { type RunningQueue, partitions, startQueue } from './running-queue.ts';

// NATS does not check reply subjects: whoever may publish plainly can make nats-server write its PubAck anywhere.

let queue: RunningQueue;
beforeAll(async () => {
  queue = await startQueue();
});
afterAll(() => queue.stop());

const name = 'victim';
const partition = partitionOf(name, partitions);

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
    queue.client.publish('trivet.jobs.other', '{}', { reply: `trivet.${subject}.${partition}` });
    await queue.client.flush();
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
    queue.client.publish('trivet.jobs.other', '{}', { reply: '$KV.TRIVET_LEASES.owner' });
    await queue.client.flush();
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
