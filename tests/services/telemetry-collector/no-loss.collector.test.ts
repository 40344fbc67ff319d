import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import type { RunningOtelCollector } from '#tests/support/otel-collector.ts';
import { SeededRandom } from '#tests/support/seeded-random.ts';
import { eachWithSink, otelHookMs } from './cluster-with-sink.ts';
import { type CollectorCluster, until } from './running-collector.ts';

const kills = 20;
const killedRecords = 200_000;
const downSeconds = 60;
const perSecond = 10_000;
const perMessage = 100;

vi.setConfig({ testTimeout: 900_000, hookTimeout: otelHookMs });

let cluster: CollectorCluster;
let sink: RunningOtelCollector;

eachWithSink((running) => ({ cluster, sink } = running));

const env = () => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint,
  OTEL_SDK_DISABLED: 'true',
  TRIVET_TELEMETRY_ACK_WAIT_MS: '2000',
});

/** One message with ids from `first`. */
const publish = (first: number) =>
  cluster.nats.js.publish(
    cluster.subjects.telemetry('log'),
    encode(
      Array.from({ length: perMessage }, (_, index) => ({
        message: `line ${first + index} ${'x'.repeat(80)}`,
        attributes: { id: first + index },
        source: 'test',
      })),
      json,
    ),
  );

/** How often each id has arrived; JSON of the oracle, line by line. */
async function arrivals(count: number): Promise<Int32Array> {
  const times = new Int32Array(count);
  for (const { attributes } of await sink.logs()) {
    const id = Number(attributes?.find((one) => one.key === 'id')?.value['intValue']);
    times[id] = (times[id] ?? 0) + 1;
  }
  return times;
}

const empty = (msMax = 120_000) =>
  until(
    () => cluster.streamMessages(),
    (count) => count === 0,
    msMax,
  );

test(`kill -9 of the collector ${kills} times in ${killedRecords} records loses none of them`, async () => {
  const random = new SeededRandom(Number(process.env['SEED'] ?? 20_260_131));
  let collector = await cluster.startCollector('telemetry-collector-1', env());
  const publishing = (async () => {
    const share = killedRecords / perMessage / (kills + 1);
    for (let message = 0; message < killedRecords / perMessage; message += 1) {
      await publish(message * perMessage);
      // Spread over the kills, so that each of them meets records on their way.
      if (message % Math.ceil(share / 10) === 0) await delay(20);
    }
  })();
  for (let kill = 0; kill < kills; kill += 1) {
    await delay(50 + random.next01() * 400);
    await collector.kill();
    collector = await cluster.startCollector('telemetry-collector-1', env());
  }
  await publishing;
  await empty();
  const times = await until(
    () => arrivals(killedRecords),
    (found) => found.every((count) => count > 0),
    60_000,
  );
  const doubled = times.reduce((sum, count) => sum + count - 1, 0);
  console.log(`${killedRecords} records, ${kills} kills: 0 lost, ${doubled} came twice`);
  const { kinds } = await cluster.stats();
  expect(kinds.log).toMatchObject({
    received: killedRecords,
    exported: killedRecords,
    inFlight: 0,
    deadLettered: 0,
  });
});

test(`${downSeconds} s without a backend at ${perSecond} records/s: memory stays flat, and it is made up for quickly`, async () => {
  const collector = await cluster.startCollector('telemetry-collector-1', env());
  const count = downSeconds * perSecond;
  // Warm: what is measured is what the outage costs, and not what starting does.
  await publish(0);
  await empty();
  await sink.stop();
  // The first message has come already; it is the same as the first one of the outage.
  for (let message = 0; message < 200; message += 1) await publish(message * perMessage);
  await delay(2_000);
  const rssBefore = await rssMiB(collector.pid);
  const started = performance.now();
  for (let message = 200; message < count / perMessage; message += 1) {
    const dueMs = started + ((message - 200) * perMessage * 1_000) / perSecond;
    if (dueMs > performance.now()) await delay(dueMs - performance.now());
    await publish(message * perMessage);
  }
  const growth = (await rssMiB(collector.pid)) - rssBefore;
  // The backlog is the consumer's lag, in messages and in time.
  const { backlog } = await until(
    () => cluster.stats(),
    ({ backlog: lag }) => lag.waiting + lag.unacknowledged === count / perMessage,
  );
  expect(backlog.ageMs).toBeGreaterThan((downSeconds - 2) * 1_000);
  expect(growth).toBeLessThan(64);
  await sink.start();
  const restarted = performance.now();
  await empty(300_000);
  const rate = count / ((performance.now() - restarted) / 1_000);
  console.log(`${downSeconds} s down: RSS ${growth.toFixed(1)} MiB more, then ${Math.round(rate)} records/s`);
  const times = await until(
    () => arrivals(count),
    (found) => found.every((one) => one > 0),
    60_000,
  );
  expect(times.length).toBe(count);
  // On an idle machine five times the input; here others run beside it.
  expect(rate).toBeGreaterThan(perSecond);
});

async function rssMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024;
}
