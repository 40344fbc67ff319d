import { once } from 'node:events';
import { connect } from 'node:net';
import { createInbox } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningQueue, leased, listed, replyOf, startQueue } from './running-queue.ts';

// Our own client library refuses to send such headers; nats-server and others do not mind.

let queue: RunningQueue;
beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});
afterAll(() => queue?.stop());

/** One request with these header lines as they are. */
async function askRaw(operation: string, lines: string) {
  const inbox = createInbox();
  const replies = queue.client.subscribe(inbox, { max: 1 });
  await publishRaw(`trivet.queue.odd.${operation}`, lines, inbox);
  for await (const reply of replies) return replyOf(reply);
  throw new Error('no answer came');
}

/** Publishes with these header lines as they are, and returns when the server has taken them. */
async function publishRaw(subject: string, lines: string, reply = ''): Promise<void> {
  const { hostname, port } = new URL(queue.server.url);
  const socket = connect(Number(port), hostname);
  const headers = `NATS/1.0\r\n${lines}\r\n\r\n`;
  const size = Buffer.byteLength(headers);
  socket.write('CONNECT {"verbose":false,"headers":true}\r\n');
  socket.write(`HPUB ${subject} ${reply} ${size} ${size + 2}\r\n${headers}{}\r\nPING\r\n`);
  let heard = '';
  socket.on('data', (data) => (heard += data.toString()));
  await expect.poll(() => heard).toContain('PONG');
  socket.end();
  await once(socket, 'close');
}

test('a request with a header name that NATS does not allow is refused by name', async () => {
  expect(await askRaw('enqueue', 'My Header: x')).toMatchObject({
    status: 400,
    body: { error: { details: { field: 'My Header' } } },
  });
});

test('a publish with such a header becomes a failed item, and those behind it are taken in', async () => {
  await publishRaw('trivet.jobs.odd', 'My Header: x');
  await queue.publish('odd', '"behind"');
  await expect
    .poll(async () => listed(await queue.ask('odd', 'list')).map(({ state }) => state))
    .toEqual(['failed', 'pending']);
  const [item] = listed(await queue.ask('odd', 'list'));
  expect(item?.attempts[0]?.error?.message).toContain('My Header');
});

test('an idempotency key and an option count in whatever case their names are written', async () => {
  const first = await askRaw('enqueue', 'nats-msg-id: in-any-case\r\nTRIVET-PRIORITY: high');
  expect(first.body).toMatchObject({ duplicate: false, priority: 'high' });
  expect((await askRaw('enqueue', 'NATS-MSG-ID: in-any-case')).body).toMatchObject({ duplicate: true });
  const packed = { 'content-type': 'application/msgpack' };
  expect(await queue.send('trivet.queue.odd.get', Buffer.of(0x81), packed)).toMatchObject({ status: 400 });

  await queue.publish('cases', '1', { 'nats-msg-id': 'published' });
  await queue.publish('cases', '2', { 'Nats-msg-id': 'published' });
  await queue.publish('cases', '3');
  await expect
    .poll(async () => listed(await queue.ask('cases', 'list')).map(({ payload, key }) => [payload, key]))
    .toEqual([
      [1, 'published'],
      [3, undefined],
    ]);

  const claim = { 'nats-msg-id': 'same claim' };
  const taken = leased(await queue.ask('cases', 'dequeue', {}, claim));
  expect(leased(await queue.ask('cases', 'dequeue', {}, claim))).toEqual(taken);
});

test.each(['Nats-Msg-Id', 'Trivet-Delay', 'Content-Type', 'Accept'])(
  'a %s that says two things is refused by its name, and one that is said twice is not',
  async (name) => {
    const value = { 'Trivet-Delay': '1s', 'Nats-Msg-Id': `said-${name}` }[name] ?? 'application/json';
    const other = { 'Trivet-Delay': '2s', 'Nats-Msg-Id': 'other' }[name] ?? 'application/msgpack';
    const twice = `${name}: ${value}\r\n${name.toLowerCase()}: ${value}`;
    expect(await askRaw('enqueue', twice)).toMatchObject({ status: 0 });
    const refused = { status: 400, body: { error: { code: 'invalid_request', details: { field: name } } } };
    const twofold = `${name.toLowerCase()}: ${value}\r\n${name}: ${other}`;
    expect(await askRaw('enqueue', twofold)).toMatchObject(refused);
    if (name !== 'Trivet-Delay') expect(await askRaw('dequeue', twofold)).toMatchObject(refused);
  },
);

test('a publish whose key says two things becomes a failed item without a key', async () => {
  await publishRaw('trivet.jobs.twofold', 'Nats-Msg-Id: a\r\nNats-Msg-Id: b');
  await expect
    .poll(async () => listed(await queue.ask('twofold', 'list')).map(({ state }) => state))
    .toEqual(['failed']);
  const [item] = listed(await queue.ask('twofold', 'list'));
  expect(item?.key).toBeUndefined();
  expect(item?.attempts[0]?.error?.message).toContain('Nats-Msg-Id');
});
