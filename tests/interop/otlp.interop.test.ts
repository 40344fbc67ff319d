import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import type { TelemetryType } from '#shared/protocol/telemetry-records.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import { CollectorCluster, until } from '#tests/services/telemetry-collector/running-collector.ts';
import { type OtlpReceiver, startOtlpReceiver } from '#tests/support/otlp-receiver.ts';
import { pythonWithOtlp } from '#tests/support/python.ts';

// What leaves the collector, read by Python with the classes that protoc made of OpenTelemetry's definitions.

let python: string;
let receiver: OtlpReceiver;
let cluster: CollectorCluster;

beforeAll(async () => {
  python = await pythonWithOtlp();
  receiver = await startOtlpReceiver();
  cluster = await CollectorCluster.start();
  await cluster.startCollector('telemetry-collector-1', {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_SDK_DISABLED: 'true',
  });
}, 180_000);

afterAll(async () => {
  await cluster?.stop();
  await receiver?.stop();
});

const publish = (kind: TelemetryType, records: readonly object[]) =>
  cluster.nats.js.publish(cluster.subjects.telemetry(kind), encode(records, json));

interface Decoded {
  readonly path: string;
  /** Whether every byte belongs to a field that the decoder knows. */
  readonly known: boolean;
  readonly request: unknown;
}

async function decoded(): Promise<readonly Decoded[]> {
  const child = spawn(python, ['tests/interop/decode_otlp.py'], { stdio: ['pipe', 'pipe', 'inherit'] });
  for (const { path, body } of receiver.accepted)
    child.stdin.write(`${JSON.stringify({ path, body: body.toString('base64') })}\n`);
  child.stdin.end();
  const lines = (await text(child.stdout)).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Decoded);
}

test('every byte that is sent is a field that Python knows, with the value that was meant', async () => {
  const timestamp = 1_770_000_000_000;
  const headers = headersOf({ traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' });
  const from = { source: 'shop', timestamp };
  await publish('log', [
    { ...from, level: 'error', message: 'größer', attributes: { n: 7, x: -0.5, yes: true, t: 'tät' } },
  ]);
  // Twice: the second one is found by its bytes.
  for (const value of [2, 3]) {
    await publish('metric', [{ ...from, name: 'orders', type: 'counter', value, tags: { region: 'eu' } }]);
    await publish('metric', [{ ...from, name: 'latency', type: 'histogram', value, unit: 'ms' }]);
  }
  await publish('metric', [{ ...from, name: 'depth', type: 'gauge', value: -7.5 }]);
  await cluster.nats.js.publish(
    cluster.subjects.telemetry('performance'),
    encode({ ...from, operation: 'checkout', durationMs: 12.5, success: false }, json),
    headers === undefined ? {} : { headers },
  );
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );
  const requests = await decoded();
  expect(requests.filter(({ known }) => !known)).toEqual([]);
  expect([...new Set(requests.map(({ path }) => path))].sort()).toEqual([
    '/v1/logs',
    '/v1/metrics',
    '/v1/traces',
  ]);
  const told = JSON.stringify(requests.map(({ request }) => request));
  for (const expected of [
    '"body":{"stringValue":"größer"}',
    '"severityNumber":"SEVERITY_NUMBER_ERROR"',
    '{"key":"n","value":{"intValue":"7"}}',
    '{"key":"x","value":{"doubleValue":-0.5}}',
    '{"key":"yes","value":{"boolValue":true}}',
    '{"key":"t","value":{"stringValue":"tät"}}',
    '"asDouble":5',
    '"asDouble":-7.5',
    '"isMonotonic":true',
    '"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE"',
    '"traceId":"CvdlGRbNQ92ESOshHIAxnA=="',
    '"STATUS_CODE_ERROR"',
  ])
    expect(told).toContain(expected);
});
