import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect as connectNats } from '@nats-io/transport-node';
import { type Trivet, connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

// A NATS whose `max_payload` is what it is unless somebody sets it.
const limit = 1_048_576;

let nats: RunningNatsServer;
let broker: ServiceProcess;
let trivet: Trivet;

beforeAll(async () => {
  nats = await startNatsServer({ config: 'plain', payloadBytesMax: limit });
  broker = await startService('queue-broker', { ...natsEnvironment(nats), TRIVET_PARTITIONS: '1' });
  trivet = await connect({ url: nats.url });
});
afterAll(async () => {
  await trivet.close();
  await broker.stop();
  await nats.stop();
});

const keptOwnership = () => expect(broker.output()).not.toContain('gives the partitions up');

/** Works on all of a queue. @returns how many there were */
async function workedOn(queue: string, count: number): Promise<number> {
  let worked = 0;
  const worker = trivet.worker(queue, () => void (worked += 1), { concurrency: 100 });
  await expect.poll(() => worked, { timeout: 15_000 }).toBe(count);
  await worker.stop();
  return worked;
}

test('items that are more than one message together are added and handed out', async () => {
  const queue = trivet.queue('mails');
  const text = 'x'.repeat(40_000);
  await Promise.all(Array.from({ length: 120 }, (_, n) => queue.add({ n, text })));
  const { items } = await queue.list({ state: 'pending' });
  expect(items.length).toBeGreaterThan(0);
  expect(await workedOn('mails', 120)).toBe(120);
  keptOwnership();
});

test('plain publishes that are more than one message together are taken in', async () => {
  const client = await connectNats({ servers: nats.url });
  for (let n = 0; n < 60; n += 1) client.publish('trivet.jobs.plain', JSON.stringify('y'.repeat(40_000)));
  await client.drain();
  expect(await workedOn('plain', 60)).toBe(60);
  keptOwnership();
});

test('a payload that no reply has room for as base64 is refused, not stored', async () => {
  const adding = trivet.queue('mails').add('x'.repeat(limit * 0.75));
  await expect(adding).rejects.toThrow(
    `payload_too_large: payload has 786434 bytes, the most is ${limit / 2}`,
  );
  keptOwnership();
});
