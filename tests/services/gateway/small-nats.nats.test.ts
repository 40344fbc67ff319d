import { connect as connectNats } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, startService } from '#tests/support/service-process.ts';

// A NATS of one's own, with another `max_payload` than nats.conf has.
const token = 'token-of-the-tests';
const limit = 65_536;

let nats: RunningNatsServer;
let gateway: ServiceProcess;
let standIn: Awaited<ReturnType<typeof connectNats>>;

beforeAll(async () => {
  nats = await startNatsServer({ config: 'plain', payloadBytesMax: limit });
  gateway = await startService('gateway', {
    NATS_URL: nats.url,
    TRIVET_TOKEN: token,
    TRIVET_HTTP_PORT: '0',
  });
  standIn = await connectNats({ servers: nats.url });
  standIn.subscribe('trivet.queue.mails.enqueue-many', {
    callback: (_error, message) => {
      const { items } = message.json<{ items: unknown[] }>();
      const answers = items.map(() => ({ id: '0-1', state: 'pending', duplicate: false }));
      message.respond(JSON.stringify({ items: answers }));
    },
  });
  await standIn.flush();
});
afterAll(async () => {
  await standIn.close();
  await gateway.stop();
  await nats.stop();
});

const enqueue = async (bytes: number) => {
  const answer = await fetch(`${gateway.http}/queue/enqueue`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ queue_name: 'mails', payload: 'x'.repeat(bytes) }),
  });
  return { status: answer.status, body: await answer.json() };
};

test('over HTTP, a payload that NATS does not take is too large, not to be tried again', async () => {
  expect(await enqueue(limit)).toMatchObject({
    status: 413,
    body: { code: 'payload_too_large', field: 'payload', limit },
  });
});

test('over HTTP, payloads that are too large only together leave in several messages', async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => enqueue(limit / 3)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
});

test('the client rejects what NATS does not take, and divides what is too large only together', async () => {
  const trivet = await connect({ url: nats.url });
  const mails = trivet.queue('mails');
  await expect(mails.add('x'.repeat(limit))).rejects.toMatchObject({
    code: 'payload_too_large',
    details: { field: 'payload', limit },
  });
  const payload = 'x'.repeat(limit / 3);
  const added = await Promise.allSettled(
    [...Array(8).fill(payload), 'x'.repeat(limit)].map((one) => mails.add(one)),
  );
  expect(added.map(({ status }) => status)).toEqual([...Array(8).fill('fulfilled'), 'rejected']);
  await expect(trivet.cache('pages').set('k', 'x'.repeat(limit))).rejects.toMatchObject({
    code: 'payload_too_large',
    details: { field: 'value', limit },
  });
  await trivet.close();
});
