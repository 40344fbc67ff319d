import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '#tests/support/free-port.ts';
import { type OtlpReceiver, startOtlpReceiver } from '#tests/support/otlp-receiver.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { CollectorCluster, until } from './running-collector.ts';

// OTLP from plain clients; that real senders are understood, `peers.collector.test.ts` shows.
let cluster: CollectorCluster;
let sink: OtlpReceiver;
let startCollector: () => Promise<ServiceProcess>;
let collector: ServiceProcess;
let http: string;
let grpcAddress: string;

const token = 'secret-of-the-senders';

beforeAll(async () => {
  sink = await startOtlpReceiver();
  cluster = await CollectorCluster.start();
  const [httpPort, grpcPort] = [await freePort(), await freePort()];
  http = `http://127.0.0.1:${httpPort}`;
  grpcAddress = `127.0.0.1:${grpcPort}`;
  startCollector = () =>
    cluster.startCollector('telemetry-collector-1', {
      OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint,
      OTEL_SDK_DISABLED: 'true',
      TRIVET_OTLP_HTTP_PORT: String(httpPort),
      TRIVET_OTLP_GRPC_PORT: String(grpcPort),
      TRIVET_OTLP_TOKEN: token,
      TRIVET_TELEMETRY_BYTES_MAX: '1048576',
    });
  collector = await startCollector();
});

afterAll(async () => {
  await cluster.stop();
  await sink.stop();
});

/** An ExportLogsServiceRequest by hand: resource_logs(1) → scope_logs(2) → log_records(2) → body(5) → string(1). */
const rawLogs = (...texts: readonly (string | Buffer)[]): Buffer => {
  const records = texts.map((text) =>
    field(2, typeof text === 'string' ? field(5, field(1, Buffer.from(text))) : text),
  );
  return field(1, field(2, Buffer.concat(records)));
};

function field(number: number, value: Buffer): Buffer {
  const length: number[] = [];
  let rest = value.length;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), value]);
}

const post = (
  path: string,
  body: Buffer | string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> =>
  fetch(`${http}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-protobuf', ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });

const arrived = (text: string) =>
  until(
    () => sink.accepted.some(({ body }) => body.includes(text)),
    (found) => found,
  );

async function callGrpc(
  body: Buffer,
  authorization = `Bearer ${token}`,
  compression = grpc.compressionAlgorithms.identity,
): Promise<Buffer> {
  const client = new grpc.Client(grpcAddress, grpc.credentials.createInsecure(), {
    'grpc.default_compression_algorithm': compression,
  });
  const metadata = new grpc.Metadata();
  metadata.set('authorization', authorization);
  try {
    return await promisify<Buffer>((callback) => {
      client.makeUnaryRequest(
        '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        body,
        metadata,
        (error, answer) => callback(error, answer ?? Buffer.alloc(0)),
      );
    })();
  } finally {
    client.close();
  }
}

test('protobuf over HTTP is stored, answered, and arrives as it came', async () => {
  const request = rawLogs('over HTTP');
  const answer = await post('/v1/logs', request);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toBe('application/x-protobuf');
  await arrived('over HTTP');
  expect(sink.accepted.find(({ body }) => body.includes('over HTTP'))?.body.equals(request)).toBe(true);
});

test('JSON, zipped, is stored as protobuf and answered in JSON', async () => {
  const request = {
    resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'as JSON' }, unknown: [1] }] }] }],
  };
  const answer = await post('/v1/logs', gzipSync(JSON.stringify(request)), {
    'content-type': 'application/json',
    'content-encoding': 'gzip',
  });
  expect([answer.status, await answer.json()]).toEqual([200, {}]);
  await arrived('as JSON');
  expect(sink.accepted.find(({ body }) => body.includes('as JSON'))?.body.equals(rawLogs('as JSON'))).toBe(
    true,
  );
});

test('gRPC is stored, answered, and arrives as it came, zipped too', async () => {
  expect(await callGrpc(rawLogs('over gRPC'))).toHaveLength(0);
  expect(
    await callGrpc(rawLogs('over zipped gRPC'), undefined, grpc.compressionAlgorithms.gzip),
  ).toHaveLength(0);
  await arrived('over gRPC');
  await arrived('over zipped gRPC');
});

test.each([
  ['a path that is none', () => post('/v1/profiles', rawLogs('x')), 404],
  ['a method that is none', () => fetch(`${http}/v1/logs`), 405],
  ['no token', () => post('/v1/logs', rawLogs('x'), { authorization: '' }), 401],
  ['another token', () => post('/v1/logs', rawLogs('x'), { authorization: 'Bearer guessed' }), 401],
  ['another type', () => post('/v1/logs', 'x', { 'content-type': 'text/plain' }), 415],
  ['another compression', () => post('/v1/logs', 'x', { 'content-encoding': 'br' }), 415],
  ['what is not zipped', () => post('/v1/logs', 'x', { 'content-encoding': 'gzip' }), 400],
  ['what is no protobuf', () => post('/v1/logs', 'not protobuf'), 400],
  [
    'what unfolds into gigabytes',
    () => post('/v1/logs', gzipSync(Buffer.alloc(64 * 1_048_576)), { 'content-encoding': 'gzip' }),
    413,
  ],
  ['a body without end', () => post('/v1/logs', Buffer.alloc(16 * 1_048_576)), 413],
])('%s is refused with %s', async (_name, send, status) => {
  // A server that has heard enough may close before all is sent.
  const answer = await send().catch(() => ({ status: 413, headers: new Headers() }));
  expect(answer.status).toBe(status);
  if (status === 405) expect(answer.headers.get('allow')).toBe('POST');
});

test('JSON of another form is refused with the field that is wrong', async () => {
  const bad = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ timeUnixNano: 'today' }] }] }] };
  const answer = await post('/v1/logs', JSON.stringify(bad), { 'content-type': 'application/json' });
  expect([answer.status, await answer.json()]).toEqual([
    400,
    {
      code: 3,
      message:
        'resourceLogs[0].scopeLogs[0].logRecords[0].timeUnixNano must be a whole number from 0 to 18446744073709551615',
    },
  ]);
});

test('gRPC without the token, and what is no protobuf, get their status', async () => {
  await expect(callGrpc(rawLogs('x'), 'Bearer guessed')).rejects.toMatchObject({ code: 16 });
  await expect(callGrpc(Buffer.from('not protobuf'))).rejects.toMatchObject({ code: 3 });
});

test('a record that nobody could read is a dead letter, its sender hears of it, and its neighbours pass', async () => {
  const invalidText = field(5, field(1, Buffer.from([0x66, 0xff])));
  const answer = await post('/v1/logs', rawLogs('good one', invalidText, 'good two'));
  expect(answer.status).toBe(200);
  // ExportLogsServiceResponse { partial_success(1) { rejected_log_records(1): 1, error_message(2) } }
  const body = Buffer.from(await answer.arrayBuffer());
  expect(body.subarray(2, 4)).toEqual(Buffer.from([0x08, 1]));
  expect(body.toString()).toContain('stringValue is not UTF-8');
  await arrived('good one');
  await arrived('good two');
  expect(await cluster.deadLetters()).toContainEqual(
    expect.objectContaining({ reason: 'invalid_record', message: 'stringValue is not UTF-8' }),
  );
  expect(await callGrpc(rawLogs('good three', invalidText))).not.toHaveLength(0);
});

test('a small request of very many broken items is answered at once, and no byte of it is lost', async () => {
  const before = (await cluster.deadLetters()).length;
  // Three bytes each: a record that is one byte long and no message.
  const items = (count: number) => gzipSync(field(1, field(2, Buffer.alloc(count * 3, '1201ff', 'hex'))));
  const zipped = { 'content-encoding': 'gzip' };
  const answer = await Promise.race([post('/v1/logs', items(90_000), zipped), delay(15_000)]);
  if (answer === undefined) throw new Error('no answer in 15 s');
  expect(answer.status).toBe(200);
  const body = Buffer.from(await answer.arrayBuffer());
  // 90,000 as a varint.
  expect(body.subarray(2, 6)).toEqual(Buffer.from('0890bf05', 'hex'));
  const letters = (await cluster.deadLetters()).slice(before);
  expect(letters).toHaveLength(101);
  expect(letters.at(-1)?.message).toMatch(/^89900 records; of the first: /);
  const refused = await post('/v1/logs', items(100_001), zipped);
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('more than 100000')]);
});

test('a port that is taken is named once with its setting, and is no fault where another collector has it', async () => {
  const stranger = createServer().listen(0, '127.0.0.1');
  await once(stranger, 'listening');
  const taken = String((stranger.address() as AddressInfo).port);
  const second = await cluster.startCollector('telemetry-collector-2', {
    OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint,
    OTEL_SDK_DISABLED: 'true',
    TRIVET_TELEMETRY_BYTES_MAX: '1048576',
    TRIVET_OTLP_HTTP_PORT: new URL(http).port,
    TRIVET_OTLP_GRPC_PORT: taken,
  });
  const linesWith = (text: string) =>
    second
      .output()
      .split('\n')
      .filter((line) => line.includes(text));
  await until(
    () => [linesWith('stands in'), linesWith('TRIVET_OTLP_GRPC_PORT')],
    (lines) => lines.every(({ length }) => length === 1),
  );
  expect(linesWith('stands in')[0]).toContain('"level":"info"');
  expect(linesWith('TRIVET_OTLP_GRPC_PORT')[0]).toContain(`port ${taken} is taken by another program`);
  expect(second.output()).not.toMatch(/No address added|stack/);
  stranger.close();
  await until(
    () => linesWith('OTLP over gRPC is received'),
    (lines) => lines.length === 1,
  );
  expect(linesWith('taken'), 'it was tried more than once').toHaveLength(1);
  await second.stop();
});

test('a sender is not told that it is stored before it is: a full stream is busy, not done', async () => {
  sink.answerWith(() => ({ status: 503 }));
  const body = rawLogs('x'.repeat(200_000));
  const answers: Response[] = [];
  await until(
    async () => {
      const answer = await post('/v1/logs', body);
      answers.push(answer);
      return answer.status;
    },
    (status) => status === 503,
  );
  const refused = answers.at(-1);
  expect(refused?.headers.get('retry-after')).toBe('1');
  expect(answers.length).toBeGreaterThan(3);
  await expect(callGrpc(body)).rejects.toMatchObject({ code: 14 });
  const before = sink.accepted.length;
  sink.answerWith(() => ({ status: 200 }));
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );
  const stored = sink.accepted.slice(before).reduce((sum, one) => sum + one.body.length, 0);
  expect(stored).toBeGreaterThanOrEqual((answers.length - 1) * 200_000);
});

test('what is being stored when SIGTERM comes is answered, and not lost', async () => {
  const { pid } = cluster.server;
  process.kill(pid, 'SIGSTOP');
  const last = post('/v1/logs', rawLogs('last words'));
  // It is in the collector's hands, which waits for the stream.
  await delay(300);
  const stopped = collector.stop();
  await delay(300);
  process.kill(pid, 'SIGCONT');
  expect((await last).status).toBe(200);
  expect(await stopped).toBe(0);
  // Sent on before the end, or by the next one.
  await startCollector();
  await arrived('last words');
});
