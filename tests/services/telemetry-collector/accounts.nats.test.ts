import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { type OtlpReceiver, startOtlpReceiver } from '#tests/support/otlp-receiver.ts';
import { CollectorCluster, until } from './running-collector.ts';

vi.setConfig({ testTimeout: 90_000 });

let cluster: CollectorCluster;
let receivers: Readonly<Record<'down' | 'picky' | 'spare', OtlpReceiver>>;
let folder: string;

beforeEach(async () => {
  receivers = {
    down: await startOtlpReceiver(),
    picky: await startOtlpReceiver(),
    spare: await startOtlpReceiver(),
  };
  cluster = await CollectorCluster.start();
  folder = await mkdtemp(join(tmpdir(), 'trivet-accounts-'));
});

afterEach(async () => {
  await cluster.stop();
  await Promise.all(Object.values(receivers).map((one) => one.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function startCollector() {
  const path = join(folder, 'pipelines.json');
  const to = (name: keyof typeof receivers, more: object = {}) => ({
    name,
    type: 'otlp-http',
    endpoint: receivers[name].endpoint,
    ...more,
  });
  await writeFile(
    path,
    JSON.stringify({
      destinations: [
        to('down'),
        to('picky', { signals: ['logs'] }),
        to('spare', { required: false, filter: { level: 'error' } }),
      ],
      rules: [
        { kinds: ['log'], level: 'info' },
        { kinds: ['log'], sample: 0 },
      ],
    }),
  );
  return cluster.startCollector('telemetry-collector-1', {
    TRIVET_TELEMETRY_PIPELINES: path,
    TRIVET_TELEMETRY_ACK_WAIT_MS: '2000',
    OTEL_SDK_DISABLED: 'true',
  });
}

const publish = (kind: string, records: readonly object[]) =>
  cluster.nats.js.publish(cluster.subjects.telemetry(kind), encode(records, json));

/** Log records, one of every fate. */
const fates = [
  { message: 'good one', level: 'error' },
  { message: 'poison', level: 'error' },
  { message: 'too low', level: 'debug' },
  { message: 'not sampled', level: 'info' },
  { message: 7 },
];

const account = async (name: string) =>
  (await cluster.stats()).accounts.find(({ destination }) => destination === name);

const rounds = 40;
const whole = { received: 7 * rounds, deadLettered: rounds, balanced: true };

test('each destination has its own account, which balances while one is down and one refuses, and after kill -9', async () => {
  receivers.down.answerWith(() => ({ status: 503 }));
  receivers.picky.answerWith(({ body }) => ({ status: body.includes('poison') ? 400 : 200 }));
  const collector = await startCollector();
  const watch = { isOver: false };
  const watching = (async () => {
    // Whenever it is asked, nothing is missing.
    while (!watch.isOver) for (const one of (await cluster.stats()).accounts) expect(one.balanced).toBe(true);
  })();
  for (let round = 0; round < rounds; round += 1) {
    await publish('log', fates);
    await publish('metric', [
      { name: 'sold', value: 1, type: 'counter', source: 'shop' },
      { name: 'depth', value: round, source: 'shop' },
    ]);
  }
  const left = { filtered: rounds, sampled: rounds };
  await until(
    () => account('picky'),
    (now) => now?.rejected === rounds,
    40_000,
  );
  watch.isOver = true;
  await watching;
  // The two good log records and the two metrics of each round wait for the one that is down.
  expect(await account('down')).toMatchObject({ ...whole, ...left, exported: 0, pending: 4 * rounds });
  // Metrics are nothing for it: counted as filtered.
  const picky = { ...whole, ...left, filtered: 3 * rounds, exported: rounds, rejected: rounds, pending: 0 };
  expect(await account('picky')).toMatchObject(picky);
  await until(
    () => account('spare'),
    (now) => now?.pending === 0,
  );
  const spare = await account('spare');
  expect(spare).toMatchObject({ ...whole, ...left, exported: 4 * rounds, dropped: 0 });

  await collector.kill();
  await startCollector();
  expect(await account('down')).toMatchObject({ ...whole, pending: 4 * rounds });
  receivers.down.answerWith(() => ({ status: 200 }));
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
    40_000,
  );
  expect(await account('down')).toMatchObject({ ...whole, ...left, exported: 4 * rounds, pending: 0 });
  // What comes again to those who have it is not counted again.
  expect(await account('picky')).toMatchObject(picky);
  expect(await account('spare')).toMatchObject({ ...whole, ...left, exported: 4 * rounds });
  expect((await cluster.stats()).account).toMatchObject({
    filtered: rounds,
    sampled: rounds,
    balanced: true,
  });
});

test('what a success takes only in part is rejected in its account', async () => {
  // ExportLogsServiceResponse: partial_success(1) { rejected_log_records(1): 1 }.
  receivers.picky.answerWith(() => ({ status: 200, body: new Uint8Array([0x0a, 0x02, 0x08, 0x01]) }));
  await startCollector();
  await publish('log', [
    { message: 'one', level: 'error' },
    { message: 'two', level: 'error' },
  ]);
  await until(
    () => account('picky'),
    (now) => now?.pending === 0 && now.received === 2,
  );
  expect(await account('picky')).toMatchObject({ received: 2, exported: 1, rejected: 1, balanced: true });
});
