import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node';
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';

// What nats.conf lets an anonymous client on the same machine do, seen from such a client.

let server: RunningNatsServer;
let anonymous: NatsConnection;
let service: NatsConnection;
const refused: string[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  anonymous = await connect({ servers: server.url });
  void (async () => {
    for await (const status of anonymous.status()) {
      if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
      const { operation, subject, queue } = status.error;
      refused.push(`${operation} ${subject}${queue === undefined ? '' : ` ${queue}`}`);
    }
  })();
  const { url: servers, user, password: pass } = server;
  service = await connect({ servers, user, pass, inboxPrefix: '_INBOX_TRIVET' });
  const manager = await jetstreamManager(service);
  await manager.streams.add({ name: 'JOBS', subjects: ['trivet.jobs.*'] });
  await manager.streams.add({ name: 'LOG', subjects: ['trivet.log.*', 'trivet.fence.*'] });
});

afterAll(async () => {
  await Promise.all([anonymous, service].map((connection) => connection.close()));
  await server.stop();
});

/** What the server refused of what `act` asked for. */
async function refusals(act: () => void): Promise<readonly string[]> {
  refused.length = 0;
  act();
  // The server answers in order, so a refusal comes before the answer to the flush; the client hands it out a turn
  // later.
  await anonymous.flush();
  await turnOfTheLoop();
  return [...refused];
}

const openToPublish = [
  'trivet.jobs.mail',
  'trivet.queue.mail.enqueue',
  'trivet.queue.stats',
  'trivet.cache.default.get',
  'trivet.telemetry.metric',
  'trivet.telemetry-query.stats',
  'trivet.otlp.v1.traces',
  '$SRV.PING',
  '$SRV.INFO.trivet-queue',
];

test.each(openToPublish)('an anonymous client may publish %s', async (subject) => {
  const received = new Promise<string>((resolve) => {
    service.subscribe(subject, { max: 1, callback: (_error, message) => resolve(message.subject) });
  });
  await service.flush();
  expect(await refusals(() => anonymous.publish(subject, 'x'))).toEqual([]);
  expect(await received).toBe(subject);
});

const closedToPublish = [
  'trivet.log.0',
  'trivet.fence.0',
  'trivet.owner.0.17',
  'trivet.ingest.0.mail',
  'trivet.telemetry-dead',
  'trivet.events.queue.mail.done',
  'trivet.something-new',
  '$KV.TRIVET_LEASES.broker-1',
  '$O.SNAPSHOTS.C.1',
  '$JS.API.STREAM.LIST',
  '$JS.API.STREAM.DELETE.LOG',
  '$JS.API.CONSUMER.CREATE.LOG',
  '$JS.API.STREAM.MSG.GET.LOG',
  '$JS.API.DIRECT.GET.LOG',
  '$JS.ACK.LOG.c.1.1.1.1.0',
  '$SYS.REQ.SERVER.PING',
  '_INBOX.somebody.else',
  '_INBOX_TRIVET.somebody.else',
  'anything',
];

test.each(closedToPublish)('an anonymous client may not publish %s', async (subject) => {
  expect(await refusals(() => anonymous.publish(subject, 'x'))).toEqual([`publish ${subject}`]);
});

test.each(['_INBOX.>', '_INBOX.mine.*', 'trivet.events.>', 'trivet.events.queue.mail.done'])(
  'an anonymous client may subscribe to %s',
  async (subject) => {
    expect(await refusals(() => void anonymous.subscribe(subject, { max: 1 }))).toEqual([]);
  },
);

test.each([
  '>',
  'trivet.>',
  'trivet.log.>',
  'trivet.ingest.>',
  'trivet.owner.0.17',
  'trivet.queue.*.*',
  'trivet.cache.*.*',
  'trivet.jobs.*',
  '_INBOX_TRIVET.>',
  '_INBOX_TRIVET.a.b',
  '*.>',
  '$KV.>',
  '$JS.EVENT.ADVISORY.>',
  '$SRV.PING',
])('an anonymous client may not subscribe to %s', async (subject) => {
  const subscribe = () => void anonymous.subscribe(subject, { callback: () => undefined });
  expect(await refusals(subscribe)).toEqual([`subscription ${subject}`]);
});

test('an anonymous client may not join the queue group of the brokers', async () => {
  const subscribe = () =>
    void anonymous.subscribe('trivet.queue.*.*', { queue: 'trivet-queue', callback: () => undefined });
  expect(await refusals(subscribe)).toEqual(['subscription trivet.queue.*.* trivet-queue']);
});

test('an anonymous client gets the acknowledgement of a durable publish', async () => {
  const acknowledged = await jetstream(anonymous).publish('trivet.jobs.mail', 'payload', { msgID: 'mail-1' });
  expect(acknowledged).toMatchObject({ stream: 'JOBS', duplicate: false });
  const again = await jetstream(anonymous).publish('trivet.jobs.mail', 'payload', { msgID: 'mail-1' });
  expect(again.duplicate).toBe(true);
});

test('an anonymous client gets the answer to a request', async () => {
  service.subscribe('trivet.queue.mail.get', {
    max: 1,
    callback: (_error, message) => void message.respond('here'),
  });
  await service.flush();
  const reply = await anonymous.request('trivet.queue.mail.get', '{}', { timeout: 2_000 });
  expect(reply.string()).toBe('here');
});

test('the services may do all of it', async () => {
  const manager = await jetstreamManager(service);
  expect(await manager.streams.info('LOG')).toMatchObject({ config: { name: 'LOG' } });
  expect(await jetstream(service).publish('trivet.log.0', 'record')).toMatchObject({ stream: 'LOG' });
});

test('a wrong password is refused, not taken for an anonymous client', async () => {
  const attempt = connect({ servers: server.url, user: server.user, pass: 'guessed', reconnect: false });
  await expect(attempt).rejects.toThrow(/authorization/i);
});

test('a message of the largest payload with its envelope fits', async () => {
  expect(service.info?.max_payload).toBe(8 * 1024 * 1024);
});

test('after a crash the server comes back on the same port with what it had acknowledged', async () => {
  const own = await startNatsServer();
  const { url: servers, user, password: pass } = own;
  const before = await connect({ servers, user, pass, reconnect: false });
  await (await jetstreamManager(before)).streams.add({ name: 'LOG', subjects: ['trivet.log.*'] });
  await jetstream(before).publish('trivet.log.0', 'record');
  const firstPid = own.pid;
  own.kill();
  await own.restart();
  expect(own.pid).not.toBe(firstPid);
  const after = await connect({ servers, user, pass });
  const { state } = await (await jetstreamManager(after)).streams.info('LOG');
  expect(state.messages).toBe(1);
  await after.close();
  await own.stop();
});
