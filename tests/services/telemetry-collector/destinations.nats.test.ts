import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { streamsFor } from '#shared/protocol/subjects.ts';
import { type OtlpReceiver, startOtlpReceiver } from '#tests/support/otlp-receiver.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { CollectorCluster, until } from './running-collector.ts';

// A receiver that does what the test says: faults that a real one does not show on demand.
let cluster: CollectorCluster;
let receiver: OtlpReceiver;
let collector: ServiceProcess;

beforeEach(async () => {
  receiver = await startOtlpReceiver();
  cluster = await CollectorCluster.start();
  collector = await cluster.startCollector('telemetry-collector-1', {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_SDK_DISABLED: 'true',
    OTEL_EXPORTER_OTLP_TIMEOUT: '300',
  });
});

afterEach(async () => {
  await cluster.stop();
  await receiver.stop();
});

const publishLogs = (messages: readonly string[]) =>
  cluster.nats.js.publish(
    cluster.subjects.telemetry('log'),
    encode(
      messages.map((message) => ({ message })),
      json,
    ),
  );

const empty = () =>
  until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );

const acceptedText = () => receiver.accepted.map(({ body }) => body.toString('latin1')).join('');

test.each([
  ['an overloaded receiver', { status: 503 }],
  ['one that asks for patience', { status: 429, headers: { 'retry-after': '1' } }],
  ['one that knows us not', { status: 401 }],
  ['a wrong path', { status: 404 }],
  ['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }],
  ['a sign-in page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>Sign in</html>' }],
  ['a success that is no OTLP', { status: 200, body: '<html>Sign in</html>' }],
  ['silence', undefined],
])('%s is tried again, and nothing is acknowledged before it takes the records', async (_name, answer) => {
  receiver.answerWith(() => answer);
  await publishLogs(['patient']);
  await until(
    () => receiver.seen.length,
    (count) => count >= 2,
  );
  expect(await cluster.streamMessages()).toBe(1);
  receiver.answerWith(() => ({ status: 200 }));
  await empty();
  expect((await cluster.stats()).kinds.log).toMatchObject({ received: 1, exported: 1, deadLettered: 0 });
});

test('a repeated request is the same to the byte', async () => {
  receiver.answerWith(() => ({ status: 503 }));
  await cluster.nats.js.publish(
    cluster.subjects.telemetry('metric'),
    '{"name":"c","value":1,"type":"counter"}',
  );
  await until(
    () => receiver.seen.length,
    (count) => count >= 3,
  );
  const [first, ...others] = receiver.seen.map((request) => request.body.toString('hex'));
  expect(new Set(others)).toEqual(new Set([first]));
});

test('one poison record in a hundred becomes a dead letter, and the others arrive', async () => {
  receiver.answerWith(({ body }) =>
    body.includes('poison') ? { status: 400, body: 'bad' } : { status: 200 },
  );
  const messages = Array.from({ length: 100 }, (_, index) => (index === 37 ? 'poison' : `line-${index}-end`));
  await publishLogs(messages);
  await empty();
  const text = acceptedText();
  expect(messages.filter((message) => message !== 'poison' && !text.includes(message))).toEqual([]);
  expect(await cluster.deadLetters()).toEqual([
    { reason: 'refused_by_destination', message: 'status 400: bad', body: '{"message":"poison"}' },
  ]);
  expect((await cluster.stats()).kinds.log).toMatchObject({ received: 100, exported: 99, deadLettered: 1 });
});

test('metrics whose bytes are known are refused as they came, though nobody held them', async () => {
  const metric = (value: string) =>
    `{"name":"c","type":"counter","value":${value},"timestamp":1764000000000}`;
  const publish = (text: string) => cluster.nats.js.publish(cluster.subjects.telemetry('metric'), text);
  await publish(`[${metric('1')}]`);
  await empty();
  receiver.answerWith(() => ({ status: 503 }));
  await publish(`[${metric('2')},${metric('1.50')}]`);
  const { seq } = await publish(metric('7'));
  await until(
    () => receiver.seen.length,
    (count) => count >= 2,
  );
  // What somebody has deleted from the stream meanwhile is counted, and cannot be shown.
  await (await cluster.service.manager()).streams.deleteMessage(streamsFor('trivet').telemetry, seq);
  receiver.answerWith(() => ({ status: 400, body: 'bad' }));
  await empty();
  const refusal = { reason: 'refused_by_destination', message: 'status 400: bad' };
  expect(await cluster.deadLetters()).toEqual([
    { ...refusal, body: metric('2') },
    { ...refusal, body: metric('1.5') },
    { ...refusal, body: 'null' },
  ]);
  const { metric: counted } = (await cluster.stats()).kinds;
  expect(counted).toMatchObject({ received: 4, exported: 1, deadLettered: 3 });
});

test('bytes that are no OTLP request are a dead letter', async () => {
  receiver.answerWith(() => ({ status: 400 }));
  await cluster.nats.js.publish(cluster.subjects.otlp('traces'), Buffer.from('not protobuf'));
  await empty();
  expect(await cluster.deadLetters()).toMatchObject([{ reason: 'undecodable', body: 'not protobuf' }]);
});

test('what a partial success refuses is counted and not sent again', async () => {
  // ExportLogsServiceResponse: partial_success(1) { rejected_log_records(1): 2 }.
  receiver.answerWith(() => ({ status: 200, body: new Uint8Array([0x0a, 0x02, 0x08, 0x02]) }));
  await publishLogs(['one', 'two', 'three']);
  await empty();
  expect(receiver.seen).toHaveLength(1);
  expect((await cluster.stats()).destinations).toContainEqual(
    expect.objectContaining({ name: 'otlp/logs', accepted: 1, refused: 2 }),
  );
});

test('a receiver of logs that is down does not hold up metrics', async () => {
  receiver.answerWith(({ path }) => ({ status: path === '/v1/logs' ? 503 : 200 }));
  await publishLogs(['waits']);
  await cluster.nats.js.publish(
    cluster.subjects.telemetry('metric'),
    '{"name":"c","value":1,"type":"counter"}',
  );
  await until(
    () => cluster.stats(),
    ({ kinds }) => kinds.metric.exported === 1,
  );
  expect(await cluster.streamMessages()).toBe(1);
});

test('SIGTERM with the receiver up sends everything, and ends with 0', async () => {
  await publishLogs(['last words']);
  // What it has not got yet would stay in the stream, for the next one.
  await until(
    () => cluster.stats(),
    ({ kinds }) => kinds.log.received === 1,
  );
  expect(await collector.stop()).toBe(0);
  expect(acceptedText()).toContain('last words');
  expect(await cluster.streamMessages()).toBe(0);
});

test('SIGTERM with the receiver down reports nothing as done, and ends with 0', async () => {
  receiver.answerWith(() => ({ status: 503 }));
  await publishLogs(['waits']);
  await until(
    () => receiver.seen.length,
    (count) => count > 0,
  );
  expect(await collector.stop()).toBe(0);
  await delay(100);
  expect(await cluster.streamMessages()).toBe(1);
});
