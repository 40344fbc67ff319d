import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RunningGateway, startGateway, token } from './running-gateway.ts';

// What a gateway must not do, whatever it is asked for, or must not forget: conditions, keys, its end.

let gateway: RunningGateway;
let asked: string[];
beforeEach(async () => {
  gateway = await startGateway();
  asked = [];
  gateway.connection.subscribe('trivet.queue.q.*', {
    callback: (_error, message) => {
      asked.push(message.subject);
      message.respond(JSON.stringify({ schedules: {}, queue: 'q', paused: true }));
    },
  });
  await gateway.connection.flush();
});
afterEach(() => gateway.stop());

test('a condition or a key that cannot be kept to is refused, and nothing is done', async () => {
  const absent = { 'if-none-match': '*' };
  const key = { 'idempotency-key': 'k' };
  const schedule = { cron: '0 3 * * *', timeZone: 'UTC', payload: 1 };
  const key1 = { name: 'x', grants: [{ role: 'viewer' }] };
  const items = { items: [{ payload: 1 }] };
  const flow = { payload: 1, children: [{ queue: 'q', payload: 1 }] };
  for (const [method, path, body, headers, field] of [
    ['PUT', '/v1/queues/q/schedules/s', schedule, absent, 'If-None-Match'],
    ['DELETE', '/v1/queues/q', undefined, absent, 'If-None-Match'],
    ['POST', '/v1/queues/q/enqueue-many', items, key, 'Idempotency-Key'],
    ['POST', '/v1/queues/q/enqueue-flow', flow, key, 'Idempotency-Key'],
    ['POST', '/v1/tokens', key1, key, 'Idempotency-Key'],
    ['POST', '/v1/otlp/v1/logs', { resourceLogs: [] }, key, 'Idempotency-Key'],
  ] as const)
    expect(
      await gateway.call(method, path, { ...(body === undefined ? {} : { body }), headers }),
    ).toMatchObject({ status: 400, body: { code: 'invalid_request', field } });
  expect(asked).toEqual([]);
  expect((await gateway.call('GET', '/v1/tokens')).body).toEqual({ tokens: [] });
});

test('a stream that is asked for while the gateway drains does not hold up its end', async () => {
  const { port, hostname } = new URL(gateway.http);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined).resume();
  socket.write(`GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n`);
  await pause(200);
  const stopped = gateway.process.stop();
  await pause(500);
  socket.write('\r\n');
  expect(await stopped).toBe(0);
  socket.destroy();
});

test('a stranger who never finishes his request does not make the end of the gateway a failure', async () => {
  const { port, hostname } = new URL(gateway.http);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined).resume();
  socket.write('POST /sign-in HTTP/1.1\r\nHost: x\r\n');
  await pause(200);
  // Two of a kind: the second one is counted, and the count is written at the end.
  for (let n = 0; n < 2; n += 1) await gateway.call('GET', '/v1/session', { headers: { authorization: '' } });
  expect(await gateway.process.stop()).toBe(0);
  const stored = await (
    await jetstreamManager(gateway.connection)
  ).streams.getMessage('TRIVET_AUDIT', { last_by_subj: 'trivet.audit' });
  expect(Buffer.from(stored?.data ?? []).toString()).toContain('"count":1');
  socket.destroy();
});

test('an entry that can be written nowhere else is in the log when the gateway ends', async () => {
  const manager = await jetstreamManager(gateway.connection);
  await manager.streams.delete('TRIVET_AUDIT');
  const answer = gateway.call('POST', '/v1/queues/q/pause').catch(() => undefined);
  await expect.poll(() => asked).toEqual(['trivet.queue.q.pause']);
  expect(await gateway.process.stop()).toBe(0);
  expect(gateway.process.output()).toMatch(/queue\.pause[^\n]*only in this log/);
  await answer;
});
