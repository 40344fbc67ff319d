import { expect, test } from 'vitest';
import { systemClock } from '#shared/runtime/clock.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { startOtlpReceiver } from '#tests/support/otlp-receiver.ts';

// On a real clock and a real socket; no NATS is needed.
const own = { service: 'trivet-queue', instance: 'queue-broker-1', version: '0.1.0', clock: systemClock };

test('metrics and spans arrive under the name of the service, at the latest when it ends', async () => {
  const receiver = await startOtlpReceiver();
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
  const telemetry = await startTelemetry({ ...own, env });
  telemetry.meter.createCounter('items').add(1);
  telemetry.tracer.startSpan('turn').end();
  await telemetry.shutdown();
  const seen = receiver.accepted.map(({ path, body }) => [path, body.toString('latin1')] as const);
  expect(seen.map(([path]) => path).toSorted((one, other) => one.localeCompare(other))).toEqual([
    '/v1/metrics',
    '/v1/traces',
  ]);
  for (const [, body] of seen) {
    expect(body).toContain('trivet-queue');
    expect(body).toContain('queue-broker-1');
  }
  await receiver.stop();
});

test.each([
  ['no endpoint', {}],
  ['OTEL_SDK_DISABLED', { OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }],
  ['no sampling', { OTEL_TRACES_SAMPLER: 'always_off', OTEL_METRICS_EXPORTER: 'none' }],
])('with %s nothing is sent', async (_name, env) => {
  const receiver = await startOtlpReceiver();
  const endpoint = 'OTEL_TRACES_SAMPLER' in env ? { otlpEndpoint: receiver.endpoint } : {};
  const telemetry = await startTelemetry({ ...own, ...endpoint, env });
  telemetry.meter.createCounter('items').add(1);
  telemetry.tracer.startSpan('turn').end();
  await telemetry.shutdown();
  expect(receiver.seen).toEqual([]);
  await receiver.stop();
});

test('a receiver that never answers holds a process up for two seconds at most', async () => {
  const receiver = await startOtlpReceiver();
  receiver.answerWith(() => undefined);
  const telemetry = await startTelemetry({ ...own, otlpEndpoint: receiver.endpoint, env: {} });
  telemetry.tracer.startSpan('turn').end();
  const startedMs = performance.now();
  await telemetry.shutdown();
  expect(performance.now() - startedMs).toBeLessThan(3_000);
  await receiver.stop();
});
