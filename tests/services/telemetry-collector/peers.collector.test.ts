import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode, json } from '#shared/protocol/encoding.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import { freePort } from '#tests/support/free-port.ts';
import { type RunningOtelCollector, startOtelCollector } from '#tests/support/otel-collector.ts';
import { otelHookMs } from './cluster-with-sink.ts';
import { CollectorCluster, until } from './running-collector.ts';

// Real OpenTelemetry Collectors on both sides of ours: one that sends to it, one per destination that it sends to.

vi.setConfig({ testTimeout: 120_000, hookTimeout: otelHookMs });

let cluster: CollectorCluster;
let sinks: Readonly<Record<'protobuf' | 'json' | 'grpc', RunningOtelCollector>>;
let senders: Readonly<Record<'http' | 'grpc', RunningOtelCollector>>;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-peers-'));
  // The first one builds it, where it was never built.
  sinks = {
    protobuf: await startOtelCollector(),
    json: await startOtelCollector(),
    grpc: await startOtelCollector(),
  };
  // After that: by the end of it somebody else could have them.
  const [httpPort, grpcPort] = [await freePort(), await freePort()];
  const forward = (type: 'http' | 'grpc', port: number) =>
    startOtelCollector({ forwardTo: { type, endpoint: `http://127.0.0.1:${port}`, token: 'peers' } });
  senders = { http: await forward('http', httpPort), grpc: await forward('grpc', grpcPort) };
  cluster = await CollectorCluster.start();
  const file = join(folder, 'pipelines.json');
  await writeFile(
    file,
    JSON.stringify({
      destinations: [
        { name: 'protobuf', type: 'otlp-http', endpoint: sinks.protobuf.endpoint, compression: 'gzip' },
        { name: 'json', type: 'otlp-http', endpoint: sinks.json.endpoint, encoding: 'json' },
        { name: 'grpc', type: 'otlp-grpc', endpoint: sinks.grpc.grpcEndpoint, compression: 'gzip' },
      ],
    }),
  );
  await cluster.startCollector('telemetry-collector-1', {
    TRIVET_TELEMETRY_PIPELINES: file,
    TRIVET_OTLP_HTTP_PORT: String(httpPort),
    TRIVET_OTLP_GRPC_PORT: String(grpcPort),
    TRIVET_OTLP_TOKEN: 'peers',
    OTEL_SDK_DISABLED: 'true',
  });
});

afterAll(async () => {
  await cluster.stop();
  await Promise.all([...Object.values(sinks), ...Object.values(senders)].map((one) => one.remove()));
  await rm(folder, { recursive: true });
});

const everySink = () => Object.entries(sinks);

test('logs, spans and metrics arrive alike over HTTP in protobuf and JSON, and over gRPC', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const headers = headersOf({ traceparent });
  const publish = (kind: string, body: unknown) =>
    cluster.nats.js.publish(cluster.subjects.telemetry(kind), encode(body, json), headers && { headers });
  await publish('log', {
    message: 'to all three',
    level: 'warning',
    timestamp: '2026-01-31T12:00:00Z',
    attributes: { id: 7, share: 0.5, ok: true, list: [1, 'two'], deep: { a: { b: 'c' } }, big: 2 ** 60 },
  });
  await publish('performance', { operation: 'pay', durationMs: 12.5, success: true });
  await publish('metric', { name: 'sold', value: 3, type: 'counter' });
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );
  const found = await Promise.all(
    everySink().map(async ([, sink]) => {
      const [log] = await until(
        () => sink.logs(),
        (all) => all.length === 1,
      );
      const [span] = await until(
        () => sink.spans(),
        (all) => all.length === 1,
      );
      const metrics = await until(
        () => sink.metrics(),
        (all) => ['sold', 'trivet.operation.duration'].every((name) => all.some((one) => one.name === name)),
      );
      const { observedTimeUnixNano: _observed, ...said } = log as { observedTimeUnixNano?: string };
      return {
        log: said,
        span: span?.name,
        sold: metrics.findLast((one) => one.name === 'sold')?.sum?.dataPoints[0]?.asDouble,
      };
    }),
  );
  expect(found[1]).toEqual(found[0]);
  expect(found[2]).toEqual(found[0]);
  expect(found[0]).toMatchObject({
    log: {
      body: { stringValue: 'to all three' },
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
    },
    span: 'pay',
    sold: 3,
  });
});

test.each(['http', 'grpc'] as const)(
  'a real sender over %s is answered when we have stored it, and all of it arrives',
  async (type) => {
    const { logs, spans } = requests(type);
    for (const [signal, body] of [
      ['logs', logs],
      ['traces', spans],
    ] as const) {
      const answer = await fetch(`${senders[type].endpoint}/v1/${signal}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(answer.status).toBe(200);
    }
    for (const [, sink] of everySink()) {
      await until(
        () => sink.logs(),
        (all) => all.filter((one) => one.body?.stringValue?.startsWith(`${type} line`)).length === 500,
      );
      await until(
        () => sink.spans(),
        (all) => all.some((one) => one.name === `${type} span` && one.spanId === 'b7ad6b7169203331'),
      );
    }
  },
);

function requests(type: string) {
  const logRecords = Array.from({ length: 500 }, (_, index) => ({
    timeUnixNano: '1769860800000000000',
    severityNumber: 9,
    body: { stringValue: `${type} line ${index}` },
  }));
  const span = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    name: `${type} span`,
    kind: 2,
    startTimeUnixNano: '1769860800000000000',
    endTimeUnixNano: '1769860800500000000',
    events: [{ timeUnixNano: '1769860800100000000', name: 'retry' }],
    status: { code: 2, message: 'no' },
  };
  return {
    logs: { resourceLogs: [{ scopeLogs: [{ logRecords }] }] },
    spans: { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] },
  };
}
