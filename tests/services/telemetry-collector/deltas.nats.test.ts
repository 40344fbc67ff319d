import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { type OtlpReceiver, startOtlpReceiver } from '#tests/support/otlp-receiver.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { CollectorCluster, until } from './running-collector.ts';

vi.setConfig({ testTimeout: 120_000 });

let cluster: CollectorCluster;
let receiver: OtlpReceiver;
let folder: string;

beforeEach(async () => {
  receiver = await startOtlpReceiver();
  cluster = await CollectorCluster.start();
  folder = await mkdtemp(join(tmpdir(), 'trivet-deltas-'));
});

afterEach(async () => {
  await cluster.stop();
  await receiver.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Point {
  readonly attributes?: readonly unknown[];
  readonly startTimeUnixNano: string;
  readonly timeUnixNano: string;
  readonly asDouble?: number;
  readonly count?: number | string;
  readonly min?: number;
}

interface Metric {
  readonly name: string;
  readonly sum?: { readonly aggregationTemporality: number; readonly dataPoints: readonly Point[] };
  readonly histogram?: { readonly aggregationTemporality: number; readonly dataPoints: readonly Point[] };
}

interface Request {
  readonly resourceMetrics: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly Metric[] }[];
  }[];
}

const metricsIn = (body: Buffer): readonly Metric[] =>
  (JSON.parse(body.toString('utf8')) as Request).resourceMetrics.flatMap((one) =>
    one.scopeMetrics.flatMap(({ metrics }) => metrics),
  );

const json200 = { status: 200, headers: { 'content-type': 'application/json' }, body: '{}' };

async function startCollector(destination: object = {}) {
  const path = join(folder, 'pipelines.json');
  const base = { name: 'main', type: 'otlp-http', endpoint: receiver.endpoint, encoding: 'json' };
  await writeFile(path, JSON.stringify({ destinations: [{ ...base, ...destination }] }));
  return cluster.startCollector('telemetry-collector-1', {
    TRIVET_TELEMETRY_PIPELINES: path,
    TRIVET_TELEMETRY_ACK_WAIT_MS: '2000',
    OTEL_SDK_DISABLED: 'true',
  });
}

const publish = (records: readonly object[]) =>
  cluster.nats.js.publish(cluster.subjects.telemetry('metric'), encode(records, json));

const sold = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    name: 'sold',
    value: 1,
    type: 'counter',
    source: 'shop',
    tags: { till: index % 10 },
  }));

const empty = () =>
  until(
    () => cluster.streamMessages(),
    (count) => count === 0,
    60_000,
  );

test('deltas sum to the exact total through kill -9 and a receiver that takes requests and says it did not', async () => {
  const random = new SeededRandom(Number(process.env['SEED'] ?? 20_261_126));
  // Every request that came is one that a receiver may have: what it answers is another matter.
  receiver.answerWith(() => (random.next01() < 0.4 ? { status: 503 } : json200));
  let collector = await startCollector({ temporality: 'delta' });
  let messages = 0;
  const publishSome = async () => {
    for (let message = 0; message < 20; message += 1) await publish(sold(50));
    messages += 20;
  };
  for (let kill = 0; kill < 5; kill += 1) {
    for (let round = 0; round < 4; round += 1) {
      const before = receiver.seen.length;
      await publishSome();
      await until(
        () => receiver.seen.length,
        (seen) => seen > before,
      );
    }
    const publishing = publishSome();
    await collector.kill();
    await publishing;
    collector = await startCollector({ temporality: 'delta' });
  }
  receiver.answerWith(() => json200);
  await empty();

  const bySeries = new Map<string, Map<string, Point>>();
  for (const { body } of receiver.seen) {
    for (const { name, sum } of metricsIn(body)) {
      if (name !== 'sold' || sum === undefined) continue;
      expect(sum.aggregationTemporality).toBe(1);
      for (const point of sum.dataPoints) {
        const key = JSON.stringify(point.attributes);
        const points = bySeries.get(key) ?? new Map<string, Point>();
        const known = points.get(point.startTimeUnixNano);
        // What comes again is what came before: the same times, and the same amount.
        if (known !== undefined) expect(point).toEqual(known);
        points.set(point.startTimeUnixNano, point);
        bySeries.set(key, points);
      }
    }
  }
  expect(bySeries.size).toBe(10);
  let total = 0;
  for (const points of bySeries.values()) {
    let endOfLast: string | undefined;
    for (const point of points.values()) {
      if (endOfLast !== undefined) expect(point.startTimeUnixNano).toBe(endOfLast);
      endOfLast = point.timeUnixNano;
      total += point.asDouble ?? 0;
    }
  }
  expect(total).toBe(messages * 50);
  const bodies = receiver.seen.map(({ body }) => body.toString('utf8'));
  console.log(`${bodies.length} requests, ${bodies.length - new Set(bodies).size} of them again`);
});

test('a request of deltas that was on its way when the collector was killed is sent again to the byte', async () => {
  receiver.answerWith(() => undefined);
  const collector = await startCollector({ temporality: 'delta' });
  await publish(sold(10));
  await until(
    () => receiver.seen.length,
    (seen) => seen > 0,
  );
  await publish(sold(10));
  await until(
    () => cluster.stats(),
    ({ kinds }) => kinds.metric.received === 20,
  );
  await collector.kill();
  const [first] = receiver.seen;
  const before = receiver.seen.length;
  receiver.answerWith(() => json200);
  await startCollector({ temporality: 'delta' });
  await empty();
  const [again, ...later] = receiver.seen.slice(before);
  expect(again?.body.toString('utf8')).toBe(first?.body.toString('utf8'));
  const amounts = later.flatMap(({ body }) =>
    metricsIn(body).flatMap(({ sum }) => sum?.dataPoints.map((point) => point.asDouble) ?? []),
  );
  expect(amounts).toEqual(Array.from({ length: 10 }, () => 1));
});

test('a histogram goes as a delta without a range that nobody knows, and totals stay the default', async () => {
  receiver.answerWith(() => json200);
  const collector = await startCollector({ temporality: 'delta' });
  const observe = async (value: number) => {
    await publish([{ name: 'size', value, type: 'histogram', source: 'shop' }]);
    await empty();
  };
  const last = () => metricsIn(receiver.accepted.at(-1)?.body ?? Buffer.from('{}'))[0]?.histogram;
  await observe(3);
  expect(last()).toMatchObject({
    aggregationTemporality: 1,
    dataPoints: [{ count: '1', sum: 3, min: 3, max: 3 }],
  });
  await observe(40);
  expect(last()).toMatchObject({ aggregationTemporality: 1, dataPoints: [{ count: '1', sum: 40 }] });
  expect(last()?.dataPoints[0]?.min).toBeUndefined();
  expect(await collector.stop()).toBe(0);
  await startCollector();
  await observe(5);
  expect(last()).toMatchObject({ aggregationTemporality: 2, dataPoints: [{ count: '3', sum: 48, min: 3 }] });
});

test.each([
  [{ temporality: 'lowmemory' }, 'destinations[0].temporality must be one of'],
  [{ temporality: 'delta', signals: ['logs'] }, 'destinations[0].temporality is of no use'],
])('the destination %j keeps the collector from starting', async (destination, message) => {
  await expect(startCollector(destination)).rejects.toThrow(message);
});
