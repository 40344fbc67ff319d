import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningQueue, listed, startQueue } from './running-queue.ts';

// Our own client library refuses to send such headers; nats-server and others do not mind.

let queue: RunningQueue;
beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});
afterAll(() => queue?.stop());

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
  const replies = queue.client.subscribe('_INBOX.odd', { max: 1 });
  await publishRaw('trivet.queue.odd.enqueue', 'My Header: x', '_INBOX.odd');
  for await (const reply of replies) {
    expect(reply.headers?.get('Nats-Service-Error-Code')).toBe('400');
    expect(reply.json()).toMatchObject({ error: { details: { field: 'My Header' } } });
  }
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
