import { beforeEach, expect, test } from 'vitest';
import { Loopback } from '#shared/runtime/loopback.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';
import { type Msg, headers, headersOf, readHeaders, unreadableHeader } from '#shared/runtime/nats.ts';

let clock: ManualClock;
let loopback: Loopback;

beforeEach(() => {
  clock = new ManualClock(0);
  loopback = new Loopback(clock);
});

/** The texts that arrive at a subject. */
function listenAt(subject: string, queue?: string): string[] {
  const heard: string[] = [];
  const callback = (_: Error | null, message: Msg) => void heard.push(message.string());
  loopback.connect().connection.subscribe(subject, { callback, ...(queue === undefined ? {} : { queue }) });
  return heard;
}

const publish = async (...messages: readonly (readonly [subject: string, text: string])[]) => {
  const { connection } = loopback.connect();
  for (const [subject, text] of messages) connection.publish(subject, text);
  await loopback.settled();
};

test('wildcards hear what they stand for, in the order in which it was sent', async () => {
  const one = listenAt('a.*.c');
  const rest = listenAt('a.>');
  await publish(['a.b.c', '1'], ['a.b', '2'], ['a', '3'], ['a.b.c.d', '4'], ['x.b.c', '5']);
  expect([one, rest]).toEqual([['1'], ['1', '2', '4']]);
});

test('of a queue group one hears, and everybody else as well', async () => {
  const group = [listenAt('jobs', 'workers'), listenAt('jobs', 'workers')];
  const other = listenAt('jobs');
  await publish(['jobs', '1'], ['jobs', '2']);
  expect(group.flat()).toEqual(['1', '2']);
  expect(other).toEqual(['1', '2']);
});

test('a request is answered, or told that nobody is there, or that nobody answered in time', async () => {
  const { connection } = loopback.connect();
  loopback.connect().connection.subscribe('echo', {
    callback: (_, message) => void message.respond(message.data, { headers: message.headers ?? headers() }),
  });
  listenAt('silent');
  const tenant = headersOf({ 'X-Tenant': 'acme' });
  const reply = await connection.request('echo', 'hello', {
    timeout: 1_000,
    ...(tenant && { headers: tenant }),
  });
  expect([reply.string(), reply.headers?.get('X-Tenant')]).toEqual(['hello', 'acme']);
  await expect(connection.request('nowhere')).rejects.toMatchObject({ name: 'NoRespondersError' });
  const silent = connection.request('silent', '', { timeout: 5_000 });
  const outcome = expect(silent).rejects.toMatchObject({ name: 'TimeoutError' });
  await clock.advance(5_000, () => loopback.settled());
  await outcome;
  expect(clock.count).toBe(0);
});

test('a reply to somebody who has gone comes back as no responders', async () => {
  const service = loopback.connect().connection;
  const codes: (number | undefined)[] = [];
  service.subscribe('watch', { callback: (_, { headers }) => void codes.push(headers?.code) });
  service.subscribe('work', {
    callback: (_, message) => service.publish(message.reply ?? '', 'item', { reply: 'watch' }),
  });
  const caller = loopback.connect().connection;
  const asked = caller.request('work').catch((error: unknown) => error);
  await caller.close();
  await loopback.settled();
  expect(await asked).toBeInstanceOf(Error);
  expect(codes).toEqual([503]);
});

test('what is sent is bytes: the sender may use its own again, and a message has its largest size', async () => {
  const heard = listenAt('a');
  const { connection } = loopback.connect();
  const bytes = Buffer.from('first');
  connection.publish('a', bytes);
  bytes.write('other');
  await loopback.settled();
  expect(heard).toEqual(['first']);
  const large = new Uint8Array(8 * 1_048_576 + 1);
  expect(() => connection.publish('a', large)).toThrow('max_payload');
  expect(() => connection.publish('a b', '')).toThrow('illegal subject');
  await connection.close();
  expect(() => connection.publish('a', '')).toThrow('closed');
});

test('a header that NATS does not allow is set apart, as on a connection', () => {
  const read = readHeaders(Buffer.from('NATS/1.0\r\nGood: 1\r\nBad Name: 2\r\n\r\n'));
  expect([read.get('Good'), read.get(unreadableHeader)]).toEqual(['1', 'Bad Name: 2']);
});

test('JetStream and buckets are not there, and say so', () => {
  const nats = loopback.connect();
  expect(() => nats.js).toThrow('JetStream');
  expect(() => nats.kvm).toThrow('key-value buckets');
  expect(() => nats.objm).toThrow('object stores');
  expect(() => nats.manager()).toThrow('JetStream');
});
