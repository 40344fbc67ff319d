import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTelemetry } from '#shared/client/telemetry.ts';
import { streamsFor } from '#shared/protocol/subjects.ts';
import { type OtlpReceiver, startOtlpReceiver } from '#tests/support/otlp-receiver.ts';
import { CollectorCluster, until } from './running-collector.ts';

vi.setConfig({ testTimeout: 120_000 });

const kills = 6;
/** Increments that are stored before each kill, at least. */
const storedMin = 160;
// The answer with every series of the test fits.
const incrementsMax = 10_000;

let cluster: CollectorCluster;
let backend: OtlpReceiver;

beforeEach(async () => {
  backend = await startOtlpReceiver();
  cluster = await CollectorCluster.start();
});

afterEach(async () => {
  await cluster.stop();
  await backend.stop();
});

interface Increments {
  readonly stored: ReadonlySet<number>;
  stop(): Promise<void>;
}

/** Increments of a counter, each with a number of its own, a few in each message. */
function increments(): Increments {
  const telemetry = createTelemetry(cluster.nats, cluster.subjects, { source: 'till', timeoutMs: 1_000 });
  const stored = new Set<number>();
  const ended = new AbortController();
  let next = 0;
  const count = async () => {
    while (!ended.signal.aborted && next < incrementsMax) {
      const number = next;
      next += 1;
      await telemetry.counter('sales', 1, { tags: { number } }).then(
        () => stored.add(number),
        // Whether the stream has it nobody knows.
        () => undefined,
      );
      await delay(1);
    }
  };
  const counting = Promise.all(Array.from({ length: 8 }, count));
  return {
    stored,
    stop: async () => {
      ended.abort();
      await counting;
    },
  };
}

interface Sales {
  readonly series: readonly { readonly value: number; readonly tags: { readonly number: string } }[];
  /** Collectors that did not answer. */
  readonly silent?: readonly string[];
}

/** How often each number was counted, over all collectors: after a kill of the server some come back later. */
async function counted(): Promise<ReadonlyMap<number, number>> {
  const asked = await until(
    () => cluster.ask('series', { name: 'sales', limit: incrementsMax }).catch(String),
    (answer) => typeof answer !== 'string' && (answer as Sales).silent === undefined,
    30_000,
  );
  const { series } = asked as Sales;
  const times = new Map<number, number>();
  for (const { value, tags } of series) {
    const number = Number(tags.number);
    times.set(number, (times.get(number) ?? 0) + value);
  }
  return times;
}

/** A stream that cannot be asked has everything still to do. */
const allAcknowledged = () =>
  until(
    () => cluster.streamMessages().catch(() => -1),
    (left) => left === 0,
    60_000,
  );

const names = ['telemetry-collector-1', 'telemetry-collector-2'] as const;

test('what a collector counted before it was killed is handed to it when another one is given it', async () => {
  backend.answerWith(() => ({ status: 503 }));
  const env = { TRIVET_TELEMETRY_ACK_WAIT_MS: '2000', OTEL_EXPORTER_OTLP_ENDPOINT: backend.endpoint };
  const start = (index: 0 | 1) => cluster.startCollector(names[index], env);
  const first = await start(0);
  const telemetry = createTelemetry(cluster.nats, cluster.subjects);
  const messages = 200;
  for (let message = 0; message < messages; message += 1) await telemetry.counter('sales');
  await until(
    () => cluster.stats(),
    ({ kinds }) => kinds.metric.received === messages,
  );
  let handed = 0;
  const spy = cluster.service.connection.subscribe(cluster.subjects.telemetryHand(names[0]), {
    callback: () => {
      handed += 1;
    },
  });
  await first.kill();
  await start(1);
  await start(0);
  backend.answerWith(() => ({ status: 200 }));
  await allAcknowledged();
  spy.unsubscribe();
  expect(handed).toBeGreaterThan(0);
  const { kinds } = await cluster.stats();
  expect(kinds.metric).toMatchObject({ received: messages, exported: messages });
});

test('nobody waits for a collector that ended and owed nothing, but for one that did', async () => {
  backend.answerWith(() => ({ status: 503 }));
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: backend.endpoint, OTEL_SDK_DISABLED: 'true' };
  const owing = await cluster.startCollector(names[0], env);
  await createTelemetry(cluster.nats, cluster.subjects).counter('sales');
  await until(
    () => cluster.stats(),
    ({ kinds }) => kinds.metric.inFlight === 1,
  );
  const idle = await cluster.startCollector(names[1]);
  const registered = async () => {
    const bucket = await cluster.service.kvm.open(streamsFor('trivet').collectors);
    const found: string[] = [];
    for await (const name of await bucket.keys()) found.push(name);
    return found.sort();
  };
  expect(await registered()).toEqual([...names]);
  expect([await idle.stop(), await owing.stop()]).toEqual([0, 0]);
  expect(await registered()).toEqual([names[0]]);
});

test.each(['nowhere', 'a backend that often refuses'])(
  'while nats-server is killed, two collectors count each increment once, sent to %s',
  async (to) => {
    let requests = 0;
    let refuses = true;
    backend.answerWith(() => ({ status: refuses && (requests += 1) % 3 > 0 ? 503 : 200 }));
    const env = {
      TRIVET_TELEMETRY_ACK_WAIT_MS: '2000',
      TRIVET_TELEMETRY_SERIES_MAX: String(2 * incrementsMax),
      ...(to === 'nowhere' ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT: backend.endpoint }),
    };
    await Promise.all(names.map((name) => cluster.startCollector(name, env)));
    const counter = increments();
    for (let kill = 0; kill < kills; kill += 1) {
      const before = counter.stored.size;
      await delay(700);
      // However slow the machine is, something is to be counted in between.
      await vi.waitUntil(() => counter.stored.size >= before + storedMin, { timeout: 20_000 });
      cluster.server.kill();
      await cluster.server.restart();
    }
    await counter.stop();
    refuses = false;
    await allAcknowledged();
    const times = await counted();
    const lost = [...counter.stored].filter((number) => !times.has(number));
    const doubled = [...times].filter(([, count]) => count > 1);
    expect(counter.stored.size).toBeGreaterThanOrEqual(kills * storedMin);
    expect([lost, doubled]).toEqual([[], []]);
  },
);
