import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { type Metric, type Point, type RunningOtelCollector } from '#tests/support/otel-collector.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { eachWithSink, otelHookMs } from './cluster-with-sink.ts';
import { type CollectorCluster, until } from './running-collector.ts';

// Deltas counted by what a real OpenTelemetry Collector has written to its file.

vi.setConfig({ testTimeout: 180_000, hookTimeout: otelHookMs });

const kills = 5;
const tills = 10;
// In the last bucket of a histogram.
const beyondAll = 1e9;

let cluster: CollectorCluster;
let sink: RunningOtelCollector;
let folder: string;

eachWithSink((running) => ({ cluster, sink } = running));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-deltas-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function startCollector() {
  const path = join(folder, 'pipelines.json');
  const main = { name: 'main', type: 'otlp-http', endpoint: sink.endpoint, temporality: 'delta' };
  await writeFile(path, JSON.stringify({ destinations: [main] }));
  return cluster.startCollector('telemetry-collector-1', {
    TRIVET_TELEMETRY_PIPELINES: path,
    TRIVET_TELEMETRY_ACK_WAIT_MS: '2000',
    OTEL_SDK_DISABLED: 'true',
  });
}

/** The points of one metric, each once: by its series and its times. Whatever comes again must be the same. */
function pointsOf(metrics: readonly Metric[], name: string): ReadonlyMap<string, ReadonlyMap<string, Point>> {
  const bySeries = new Map<string, Map<string, Point>>();
  for (const metric of metrics.filter((one) => one.name === name)) {
    const data = metric.sum ?? metric.histogram;
    expect(data?.aggregationTemporality).toBe(1);
    for (const point of data?.dataPoints ?? []) {
      const series = JSON.stringify(point.attributes ?? []);
      const points = bySeries.get(series) ?? new Map<string, Point>();
      const known = points.get(point.startTimeUnixNano ?? '');
      if (known !== undefined) expect(point).toEqual(known);
      points.set(point.startTimeUnixNano ?? '', point);
      bySeries.set(series, points);
    }
  }
  return bySeries;
}

/** All points, each series' one behind the other: where one ends the next one begins. */
function followingEachOther(bySeries: ReadonlyMap<string, ReadonlyMap<string, Point>>): readonly Point[] {
  return [...bySeries.values()].flatMap((points) => {
    const inOrder = [...points.values()].sort((one, other) =>
      BigInt(one.timeUnixNano) < BigInt(other.timeUnixNano) ? -1 : 1,
    );
    for (const [index, point] of inOrder.entries())
      if (index > 0) expect(point.startTimeUnixNano).toBe(inOrder[index - 1]?.timeUnixNano);
    return inOrder;
  });
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);

test(`an OpenTelemetry Collector adds deltas up to the exact totals, through kill -9 of ours ${kills} times and its own end`, async () => {
  const random = new SeededRandom(Number(process.env['SEED'] ?? 20_261_126));
  let collector = await startCollector();
  let published = 0;
  const observed: number[] = [];
  const publish = async () => {
    const sold = Array.from({ length: 50 }, (_, index) => ({
      name: 'sold',
      type: 'counter',
      value: 1,
      source: 'shop',
      tags: { till: index % tills },
    }));
    const values = Array.from({ length: 50 }, () => random.pick([3, 20, beyondAll]));
    const took = values.map((value) => ({ name: 'took', type: 'histogram', value, source: 'shop' }));
    published += sold.length;
    observed.push(...values);
    await cluster.nats.js.publish(cluster.subjects.telemetry('metric'), encode([...sold, ...took], json));
  };
  for (let kill = 0; kill < kills; kill += 1) {
    for (let message = 0; message < 20; message += 1) await publish();
    await delay(random.next01() * 300);
    if (kill === 2) await sink.stop();
    const publishing = publish();
    await collector.kill();
    await publishing;
    collector = await startCollector();
    if (kill === 3) await sink.start();
  }
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
    90_000,
  );
  const sold = (metrics: readonly Metric[]) => followingEachOther(pointsOf(metrics, 'sold'));
  const metrics = await until(
    () => sink.metrics(),
    (all) => sum(sold(all).map((point) => point.asDouble ?? 0)) >= published,
  );
  expect(pointsOf(metrics, 'sold').size).toBe(tills);
  expect(sum(sold(metrics).map((point) => point.asDouble ?? 0))).toBe(published);
  const took = followingEachOther(pointsOf(metrics, 'took'));
  expect(sum(took.map((point) => Number(point.count)))).toBe(observed.length);
  expect(sum(took.map((point) => point.sum ?? 0))).toBe(sum(observed));
  expect(sum(took.map((point) => Number(point.bucketCounts?.at(-1))))).toBe(
    observed.filter((value) => value === beyondAll).length,
  );
  console.log(
    `${published} counted and ${observed.length} observed, in ${took.length} points of one histogram`,
  );
});
