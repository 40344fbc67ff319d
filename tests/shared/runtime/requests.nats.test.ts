import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Nats, connectNats, headers } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';

let server: RunningNatsServer;
let anonymous: Nats;
let service: Nats;

beforeAll(async () => {
  server = await startNatsServer();
  anonymous = await connectNats({ url: server.url, name: 'asks' });
  const { url, user, password } = server;
  service = await connectNats({ url, user, password, name: 'answers', inboxPrefix: '_INBOX_TRIVET' });
  service.connection.subscribe('trivet.queue.echo.*', {
    callback: (_, message) => {
      const waitMs = Number(message.headers?.get('Wait-Ms') ?? 0);
      const heard = headers();
      heard.set('Heard', message.subject);
      const answer = () => message.respond(message.data, { headers: heard });
      if (waitMs === 0) answer();
      else setTimeout(answer, waitMs);
    },
  });
  await service.connection.flush();
});

afterAll(async () => {
  await Promise.all([anonymous, service].map(({ connection }) => connection.close()));
  await server.stop();
});

const waitHeader = (waitMs: number) => {
  const made = headers();
  made.set('Wait-Ms', String(waitMs));
  return made;
};

const ask = (text: string, timeout = 5_000, waitMs?: number) =>
  anonymous.connection.request('trivet.queue.echo.one', Buffer.from(text), {
    timeout,
    ...(waitMs === undefined ? {} : { headers: waitHeader(waitMs) }),
  });

test('each of a thousand requests gets its own reply, in whatever order they come', async () => {
  const waits = Array.from({ length: 1_000 }, (_, index) => (index * 7) % 50);
  const replies = await Promise.all(waits.map((wait, index) => ask(String(index), 5_000, wait)));
  expect(replies.map((reply) => reply.string())).toEqual(waits.map((_, index) => String(index)));
  expect(replies[0]?.headers?.get('Heard')).toBe('trivet.queue.echo.one');
});

test('each request has a time of its own, and a reply that comes later is let go', async () => {
  const [short, long] = await Promise.allSettled([ask('short', 50, 400), ask('long', 3_000, 400)]);
  expect(short).toMatchObject({ status: 'rejected', reason: { name: 'TimeoutError' } });
  expect(long).toMatchObject({ status: 'fulfilled' });
  const begin = performance.now();
  await expect(ask('again', 100, 300)).rejects.toMatchObject({ name: 'TimeoutError' });
  expect(performance.now() - begin).toBeGreaterThanOrEqual(100);
  await delay(300);
  expect((await ask('after')).string()).toBe('after');
});

test('where nobody listens the error says so at once', async () => {
  await expect(
    anonymous.connection.request('trivet.queue.nobody.stats', Buffer.from(''), { timeout: 60_000 }),
  ).rejects.toThrow('no responders');
});

test('what may not be sent is refused at once, and holds up no other request', async () => {
  const [refused, fine] = await Promise.allSettled([
    anonymous.connection.request('trivet.log.0', Buffer.from('x'), { timeout: 60_000 }),
    ask('fine'),
  ]);
  expect(refused).toMatchObject({
    status: 'rejected',
    reason: { cause: { name: 'PermissionViolationError' } },
  });
  expect(fine).toMatchObject({ status: 'fulfilled' });
});

test('what cannot be sent at all rejects', async () => {
  await expect(
    anonymous.connection.request('no subject', Buffer.from(''), { timeout: 1_000 }),
  ).rejects.toThrow('subject');
  const tooLarge = anonymous.connection.request('trivet.queue.echo.one', Buffer.alloc(9_000_000), {
    timeout: 1_000,
  });
  await expect(tooLarge).rejects.toThrow('max_payload');
});

test('an inbox that may not be listened to is told, each time', async () => {
  const closed = await connectNats({ url: server.url, name: 'closed', inboxPrefix: 'trivet.log' });
  for (let time = 0; time < 2; time += 1) {
    const asked = closed.connection.request('trivet.queue.echo.one', Buffer.from('x'), { timeout: 60_000 });
    await expect(asked).rejects.toMatchObject({ cause: { name: 'PermissionViolationError' } });
  }
  await closed.connection.close();
});

test('a request outlives a restart of nats-server: its reply finds the inbox, or it ends in time', async () => {
  const late = ask('late', 10_000, 2_000);
  const unanswered = ask('unanswered', 1_500, 60_000);
  await anonymous.connection.flush();
  await server.restart();
  await expect(unanswered).rejects.toMatchObject({ name: 'TimeoutError' });
  expect((await late).string()).toBe('late');
  expect((await ask('after')).string()).toBe('after');
});

test('who closes the connection ends the requests on it', async () => {
  const closing = await connectNats({ url: server.url, name: 'closing' });
  const waiting = closing.connection.request('trivet.queue.echo.one', Buffer.from('x'), {
    timeout: 60_000,
    headers: waitHeader(60_000),
  });
  await closing.connection.flush();
  await Promise.all([
    closing.connection.close(),
    expect(waiting).rejects.toMatchObject({ cause: { name: 'ClosedConnectionError' } }),
  ]);
});
