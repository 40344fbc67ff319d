import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encode, msgpack } from '#shared/protocol/encoding.ts';
import type { SeriesReply } from '#shared/protocol/telemetry-replies.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import { CollectorCluster, until } from '#tests/services/telemetry-collector/running-collector.ts';
import { type GoProgram, buildGoProgram } from '#tests/support/go-program.ts';
import { pythonWithNats } from '#tests/support/python.ts';

let cluster: CollectorCluster;
let go: GoProgram;
let python: string;

beforeAll(async () => {
  [go, python] = await Promise.all([buildGoProgram('tests/interop/increments-go'), pythonWithNats()]);
  cluster = await CollectorCluster.start();
}, 300_000);

afterAll(async () => {
  await cluster.stop();
  await go.remove();
});

const counts = { go: 333_000, python: 333_000, typescript: 334_000 };
const total = 1_000_000;
const run = promisify(execFile);

async function publishHere(count: number): Promise<void> {
  const headers = headersOf({ 'Content-Type': msgpack });
  const perMessage = 100;
  const inFlight = 64 * perMessage;
  for (let next = 0; next < count; next += inFlight) {
    const sizes = Array.from({ length: inFlight / perMessage }, (_, index) =>
      Math.min(perMessage, Math.max(0, count - next - index * perMessage)),
    ).filter((size) => size > 0);
    await Promise.all(
      sizes.map((size) => {
        const record = { name: 'increments', type: 'counter', value: 1, source: 'typescript' };
        const body = encode(
          Array.from({ length: size }, () => record),
          msgpack,
        );
        return cluster.nats.js.publish(cluster.subjects.telemetry('metric'), body, headers && { headers });
      }),
    );
  }
}

const env = { TRIVET_TELEMETRY_ACK_WAIT_MS: '3000', TRIVET_TELEMETRY_FLUSH_MS: '50' };
const names = ['telemetry-collector-1', 'telemetry-collector-2'];

test('one million increments from three languages sum to exactly one million, though collectors are killed between', async () => {
  const collectors = new Map(
    await Promise.all(names.map(async (name) => [name, await cluster.startCollector(name, env)] as const)),
  );
  const publishers = { isDone: false };
  const publishing = Promise.all([
    run(go.path, [cluster.server.url, String(counts.go)]),
    run(python, ['tests/interop/increments.py', cluster.server.url, String(counts.python)]),
    publishHere(counts.typescript),
  ]).finally(() => {
    publishers.isDone = true;
  });
  let kills = 0;
  const received = () =>
    cluster.stats().then(
      ({ kinds }) => kinds.metric.received,
      () => 0,
    );
  for (let before = 0; kills < 6 || !publishers.isDone;) {
    // In the middle of its work: it has counted something since it came back.
    const now = await until(received, (seen) => seen > before || publishers.isDone, 60_000);
    before = now;
    const name = names[kills % names.length] ?? '';
    await collectors.get(name)?.kill();
    kills += 1;
    collectors.set(name, await cluster.startCollector(name, env));
    if (kills >= 12) break;
  }
  await publishing;
  await until(
    () => cluster.streamMessages(),
    (messages) => messages === 0,
    120_000,
  );
  const { series } = (await cluster.ask('series', { name: 'increments', limit: 1_000 })) as SeriesReply;
  const bySource = Object.groupBy(series, (one) => one.source);
  const sums = Object.fromEntries(
    Object.entries(bySource).map(([source, own = []]) => [
      source,
      own.reduce((sum, one) => sum + (one.value ?? 0), 0),
    ]),
  );
  expect(sums).toEqual(counts);
  expect(Object.values(sums).reduce((sum, one) => sum + one, 0)).toBe(total);
  expect(kills).toBeGreaterThanOrEqual(6);
}, 240_000);
