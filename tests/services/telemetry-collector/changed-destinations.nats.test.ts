import { expect, test } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { streamsFor } from '#shared/protocol/subjects.ts';
import { consumerName } from '#services/telemetry-collector/telemetry-stream.ts';
import type { OtlpReceiver } from '#tests/support/otlp-receiver.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type CollectorCluster, until } from './running-collector.ts';
import { eachWithTwoReceivers, replaceFile } from './two-receivers.ts';

// Destinations that come, go and change while messages are on their way.
let cluster: CollectorCluster;
let first: OtlpReceiver;
let second: OtlpReceiver;
let file: string;

eachWithTwoReceivers((running) => ({ cluster, first, second, file } = running));

const to = (name: string, receiver: OtlpReceiver, more: object = {}) => ({
  name,
  type: 'otlp-http',
  endpoint: receiver.endpoint,
  timeout: '1s',
  ...more,
});

const write = (destinations: readonly object[]): Promise<void> =>
  replaceFile(file, JSON.stringify({ destinations }));

async function start(destinations: readonly object[], flushMs = 20): Promise<ServiceProcess> {
  await write(destinations);
  return cluster.startCollector('telemetry-collector-1', {
    TRIVET_TELEMETRY_PIPELINES: file,
    TRIVET_TELEMETRY_ACK_WAIT_MS: '1000',
    TRIVET_TELEMETRY_FLUSH_MS: String(flushMs),
    OTEL_SDK_DISABLED: 'true',
  });
}

async function reload(collector: ServiceProcess, destinations: readonly object[]): Promise<void> {
  const changes = () => collector.output().split('the pipelines have changed').length;
  const before = changes();
  await write(destinations);
  process.kill(collector.pid, 'SIGHUP');
  await until(changes, (count) => count > before);
}

const publish = (kind: string, body: unknown) =>
  cluster.nats.js.publish(cluster.subjects.telemetry(kind), encode(body, json));

const empty = () =>
  until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );

const account = async (name: string) =>
  (await cluster.stats()).accounts.find(({ destination }) => destination === name);

test('a destination that goes after a message was read is not waited for', async () => {
  const collector = await start([to('gone', first), to('alive', second)], 4_000);
  await publish('log', { message: 'a line' });
  const manager = await cluster.service.manager();
  await until(
    () => manager.consumers.info(streamsFor('trivet').telemetry, consumerName),
    (info) => info.num_ack_pending === 1,
  );
  // Within the time in which it waits for others to be committed with.
  await reload(collector, [to('alive', second)]);
  await empty();
  expect(first.seen).toEqual([]);
  expect(second.accepted).toHaveLength(1);
});

test.each([
  ['is no more', [['alive', {}]]],
  [
    'wants other signals',
    [
      ['alive', {}],
      ['gone', { signals: ['traces'] }],
    ],
  ],
  ['is no more, like all others', []],
] as const)(
  'what was on its way to a destination that %s after a start is dropped there',
  async (_how, left) => {
    for (const receiver of [first, second]) receiver.answerWith(() => ({ status: 503 }));
    const collector = await start([to('alive', second), to('gone', first)]);
    await publish('log', [{ message: 'one' }, { message: 'two' }]);
    await until(
      () => Math.min(first.seen.length, second.seen.length),
      (count) => count > 0,
    );
    await collector.kill();
    for (const receiver of [first, second]) receiver.answerWith(() => ({ status: 200 }));
    await start(left.map(([name, more]) => to(name, second, more)));
    await empty();
    const dropped = { received: 2, exported: 0, dropped: 2, pending: 0, balanced: true };
    await until(
      () => account('gone'),
      (found) => found?.pending === 0,
      5_000,
    );
    expect(await account('gone')).toMatchObject(dropped);
    expect(await account('alive')).toMatchObject(
      left.length === 0 ? dropped : { received: 2, exported: 2, pending: 0, balanced: true },
    );
  },
);

test('a destination of deltas that comes back by a reload gets what it missed, though nothing comes any more', async () => {
  const json200 = { status: 200, headers: { 'content-type': 'application/json' }, body: '{}' };
  first.answerWith(() => json200);
  const deltas = to('deltas', first, { encoding: 'json', temporality: 'delta' });
  const sold = async (value: number) => {
    await publish('metric', { name: 'sold', type: 'counter', value });
    await empty();
  };
  const sum = () =>
    first.accepted
      .flatMap(({ body }) => [...body.toString().matchAll(/"asDouble":([0-9.]+)/g)])
      .reduce((total, [, value]) => total + Number(value), 0);
  const collector = await start([deltas, to('other', second)]);
  await sold(3);
  expect(sum()).toBe(3);
  await reload(collector, [to('other', second)]);
  await sold(4);
  await reload(collector, [deltas, to('other', second)]);
  await until(sum, (total) => total === 7, 10_000);
  await sold(5);
  expect(sum()).toBe(12);
});
