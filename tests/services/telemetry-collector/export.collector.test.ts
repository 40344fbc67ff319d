import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { createTelemetry } from '#shared/client/telemetry.ts';
import { encode, json, msgpack } from '#shared/protocol/encoding.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import { type KeyValue, type RunningOtelCollector } from '#tests/support/otel-collector.ts';
import { eachWithSink, otelHookMs } from './cluster-with-sink.ts';
import { type CollectorCluster, until } from './running-collector.ts';

// Against the real OpenTelemetry Collector: what it has written to its file has arrived.
vi.setConfig({ testTimeout: 120_000, hookTimeout: otelHookMs });

let cluster: CollectorCluster;
let sink: RunningOtelCollector;

eachWithSink((running) => ({ cluster, sink } = running));

const toSink = () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint });

const attribute = (attributes: readonly KeyValue[] | undefined, name: string): unknown =>
  Object.values(attributes?.find((one) => one.key === name)?.value ?? {})[0];

/** Log records with ids from `first`, many to a message. */
async function publishLogs(count: number, first = 0): Promise<void> {
  const perMessage = 100;
  const publishes: Promise<unknown>[] = [];
  for (let start = first; start < first + count; start += perMessage) {
    const records = Array.from({ length: Math.min(perMessage, first + count - start) }, (_, index) => ({
      message: `line ${start + index}`,
      attributes: { id: start + index },
      source: 'test',
    }));
    publishes.push(cluster.nats.js.publish(cluster.subjects.telemetry('log'), encode(records, json)));
    if (publishes.length % 50 === 0) await Promise.all(publishes.splice(0));
  }
  await Promise.all(publishes);
}

const arrivedIds = async (): Promise<ReadonlySet<number>> =>
  new Set((await sink.logs()).map((record) => Number(attribute(record.attributes, 'id'))));

test('a record of each kind arrives as OpenTelemetry says it', async () => {
  await cluster.startCollector('telemetry-collector-1', toSink());
  const telemetry = createTelemetry(cluster.nats, cluster.subjects, { source: 'shop' });
  await telemetry.counter('orders', 2, { tags: { region: 'eu' } });
  await telemetry.counter('orders', 3, { tags: { region: 'eu' } });
  await telemetry.gauge('depth', -7.5);
  await telemetry.histogram('latency', 12, { unit: 'ms' });
  await telemetry.event({ name: 'order.placed', attributes: { id: 1 } });
  await telemetry.error(new TypeError('no such basket'));
  await telemetry.log({ message: 'opened', level: 'critical', timestamp: '2026-01-31T12:00:00Z' });
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const headers = headersOf({ traceparent });
  const performance = {
    operation: 'checkout',
    durationMs: 250,
    success: false,
    timestamp: 1_770_000_000_250,
  };
  await cluster.nats.js.publish(
    cluster.subjects.telemetry('performance'),
    encode(performance, json),
    headers && { headers },
  );
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );

  const logs = await until(
    () => sink.logs(),
    (all) => all.length === 3,
  );
  const byBody = new Map(logs.map((record) => [record.body?.stringValue, record]));
  expect(byBody.get('order.placed')).toMatchObject({ eventName: 'order.placed', severityNumber: 9 });
  expect(byBody.get('opened')).toMatchObject({
    severityNumber: 21,
    severityText: 'critical',
    timeUnixNano: '1769860800000000000',
  });
  const exception = byBody.get('no such basket')?.attributes;
  expect(attribute(exception, 'exception.type')).toBe('TypeError');
  expect(attribute(exception, 'exception.stacktrace')).toContain('TypeError: no such basket');

  const metrics = await until(
    () => sink.metrics(),
    (all) => all.some((one) => one.name === 'trivet.operation.count'),
  );
  expect(metrics.findLast((one) => one.name === 'orders')).toMatchObject({
    sum: { isMonotonic: true, dataPoints: [{ asDouble: 5 }] },
  });
  expect(metrics.findLast((one) => one.name === 'depth')).toMatchObject({
    gauge: { dataPoints: [{ asDouble: -7.5 }] },
  });
  expect(metrics.findLast((one) => one.name === 'latency')).toMatchObject({
    unit: 'ms',
    histogram: { dataPoints: [{ count: '1', sum: 12 }] },
  });
  const [span] = await until(
    () => sink.spans(),
    (all) => all.length === 1,
  );
  expect(span).toMatchObject({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    parentSpanId: 'b7ad6b7169203331',
    name: 'checkout',
    startTimeUnixNano: '1770000000000000000',
    endTimeUnixNano: '1770000000250000000',
    status: { code: 2 },
  });
});

test('what JSON cannot carry arrives as its documented text', async () => {
  await cluster.startCollector('telemetry-collector-1', toSink());
  const attributes = {
    nan: Number.NaN,
    infinite: Number.NEGATIVE_INFINITY,
    big: 2n ** 63n - 1n,
    huge: 2 ** 60,
    date: new Date('2026-01-31T12:00:00Z'),
    bytes: new Uint8Array([1, 2, 255]),
    nothing: null,
    nested: { list: [1, 'two', { three: true }] },
    negative: -3,
  };
  const headers = headersOf({ 'Content-Type': msgpack });
  await cluster.nats.js.publish(
    cluster.subjects.telemetry('event'),
    encode({ name: 'hazards', attributes }, msgpack),
    headers && { headers },
  );
  const [record] = await until(
    () => sink.logs(),
    (all) => all.length === 1,
  );
  const value = (name: string) => record?.attributes?.find((one) => one.key === name)?.value;
  expect(value('nan')).toEqual({ stringValue: 'NaN' });
  expect(value('infinite')).toEqual({ stringValue: '-Infinity' });
  expect(value('big')).toEqual({ stringValue: '9223372036854775807' });
  expect(value('huge')).toEqual({ intValue: '1152921504606846976' });
  expect(value('date')).toEqual({ stringValue: '2026-01-31T12:00:00.000Z' });
  expect(value('bytes')).toEqual({ bytesValue: 'AQL/' });
  expect(value('nothing')).toEqual({ stringValue: 'null' });
  expect(value('negative')).toEqual({ intValue: '-3' });
  expect(JSON.stringify(value('nested'))).toContain('"three"');
});

test('an OTLP request over NATS arrives as it is', async () => {
  await cluster.startCollector('telemetry-collector-1', toSink());
  await cluster.nats.js.publish(cluster.subjects.otlp('logs'), rawLogs('raw'));
  const [record] = await until(
    () => sink.logs(),
    (all) => all.length === 1,
  );
  expect(record?.body?.stringValue).toBe('raw');
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );
  expect((await cluster.stats()).kinds.otlp).toMatchObject({ received: 1, exported: 1 });
});

/** An ExportLogsServiceRequest by hand: resource_logs(1) → scope_logs(2) → log_records(2) → body(5) → string(1). */
function rawLogs(text: string): Buffer {
  const field = (tag: number, body: Buffer) =>
    Buffer.concat([Buffer.from([(tag << 3) | 2, body.length]), body]);
  return [1, 5, 2, 2, 1].reduce((body, tag) => field(tag, body), Buffer.from(text));
}

test('while the Collector is down nothing is acknowledged, and all of it arrives when it is back', async () => {
  await sink.stop();
  const collector = await cluster.startCollector('telemetry-collector-1', toSink());
  const rssBefore = await rssMiB(collector.pid);
  await publishLogs(100_000);
  await delay(3_000);
  expect(await cluster.streamMessages()).toBe(1_000);
  expect((await cluster.stats()).destinations).toContainEqual(
    expect.objectContaining({ name: 'otlp/logs', state: 'down' }),
  );
  // Memory is bounded by what is held, not by what waits in the stream.
  expect((await rssMiB(collector.pid)) - rssBefore).toBeLessThan(128);
  await sink.start();
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
    60_000,
  );
  const ids = await until(arrivedIds, (found) => found.size === 100_000);
  expect(ids.size).toBe(100_000);
});

test('kill -9 of the collector in the middle of 20,000 records loses none of them', async () => {
  let collector = await cluster.startCollector('telemetry-collector-1', toSink());
  const published = publishLogs(20_000);
  for (let kills = 0; kills < 5; kills += 1) {
    await delay(150);
    await collector.kill();
    collector = await cluster.startCollector('telemetry-collector-1', {
      ...toSink(),
      TRIVET_TELEMETRY_ACK_WAIT_MS: '2000',
    });
  }
  await published;
  const ids = await until(arrivedIds, (found) => found.size === 20_000, 60_000);
  expect(ids.size).toBe(20_000);
  const stats = await until(
    () => cluster.stats(),
    ({ kinds }) => kinds.log.exported === 20_000,
  );
  expect(stats.kinds.log).toMatchObject({ received: 20_000, exported: 20_000, inFlight: 0 });
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );
});

test('counters sum to what was counted, whatever was killed in between', async () => {
  const env = { ...toSink(), TRIVET_TELEMETRY_ACK_WAIT_MS: '2000' };
  let collector = await cluster.startCollector('telemetry-collector-1', env);
  const telemetry = createTelemetry(cluster.nats, cluster.subjects, { source: 'till' });
  const count = async (rounds: number) => {
    for (let round = 0; round < rounds; round += 1) {
      await Promise.all(
        Array.from({ length: 100 }, (_, index) =>
          telemetry.counter('sales', 1, { tags: { till: index % 10 } }),
        ),
      );
    }
  };
  const counted = count(200);
  for (let kills = 0; kills < 5; kills += 1) {
    await delay(200);
    await collector.kill();
    collector = await cluster.startCollector('telemetry-collector-1', env);
  }
  await counted;
  await until(
    () => cluster.streamMessages(),
    (left) => left === 0,
    60_000,
  );
  // What is acknowledged the Collector has, and its file has it a moment later.
  await until(soldAtSink, (sold) => sold >= 20_000);
  expect(await soldAtSink()).toBe(20_000);
});

/** The newest total of each series at the sink, added up. */
async function soldAtSink(): Promise<number> {
  const last = new Map<string, number>();
  for (const metric of await sink.metrics()) {
    for (const point of metric.name === 'sales' ? (metric.sum?.dataPoints ?? []) : [])
      last.set(JSON.stringify(point.attributes), point.asDouble ?? 0);
  }
  return [...last.values()].reduce((sum, total) => sum + total, 0);
}

test('two collectors share the work, and nothing is lost when one of them dies', async () => {
  const env = { ...toSink(), TRIVET_TELEMETRY_ACK_WAIT_MS: '2000' };
  const [first] = await Promise.all([
    cluster.startCollector('telemetry-collector-1', env),
    cluster.startCollector('telemetry-collector-2', env),
  ]);
  let published = 0;
  // One that is quick takes a short burst alone: it is published until both have sent a share.
  const { kinds } = await until(
    async () => {
      await publishLogs(10_000, published);
      published += 10_000;
      await until(
        () => cluster.streamMessages(),
        (count) => count === 0,
      );
      return cluster.stats();
    },
    ({ destinations }) =>
      destinations.filter((one) => one.name === 'otlp/logs' && one.accepted > 0).length === 2,
    60_000,
  );
  expect(kinds.log).toMatchObject({ received: published, exported: published });

  const more = publishLogs(10_000, published);
  await first.kill();
  await more;
  // What it may have counted waits for it; everything else the other one does.
  await cluster.startCollector('telemetry-collector-1', env);
  const ids = await until(arrivedIds, (found) => found.size === published + 10_000, 60_000);
  expect(ids.size).toBe(published + 10_000);
});

async function rssMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024;
}
