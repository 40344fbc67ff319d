import { createSocket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '#tests/support/free-port.ts';
import { CollectorCluster, until } from './running-collector.ts';

let cluster: CollectorCluster;
let port: number;

beforeAll(async () => {
  cluster = await CollectorCluster.start();
  port = await freePort();
  await cluster.startCollector('telemetry-collector-1', { TRIVET_STATSD_PORT: String(port) });
});

afterAll(() => cluster.stop());

async function say(...lines: readonly string[]): Promise<void> {
  const socket = createSocket('udp4');
  await new Promise((resolve) => socket.send(lines.join('\n'), port, '127.0.0.1', resolve));
  socket.close();
}

const valueOf = async (name: string): Promise<unknown> => {
  const { series } = (await cluster.ask('series', { name })) as {
    series: readonly { value?: number; count?: number }[];
  };
  return series[0]?.value ?? series[0]?.count;
};

test('counters, gauges, changes of gauges and timings come over UDP and are counted', async () => {
  await say('hits:2|c', 'hits:3|c|@0.5|#region:eu', 'depth:7|g', 'depth:-2|g', 'pay:12:30|ms|#service:shop');
  await until(
    () => valueOf('pay'),
    (value) => value === 2,
  );
  expect(await valueOf('depth')).toBe(5);
  expect(await cluster.ask('series', { name: 'hits' })).toMatchObject({
    series: [
      { source: 'statsd', tags: {}, value: 2 },
      { source: 'statsd', tags: { region: 'eu' }, value: 6 },
    ],
  });
  expect(await cluster.ask('series', { name: 'pay' })).toMatchObject({
    series: [{ source: 'shop', unit: 'ms' }],
  });
});

test('a bad line is a dead letter with its reason, and its neighbours pass', async () => {
  await say('fine:1|c', 'broken', 'users:42|s');
  await until(
    () => valueOf('fine'),
    (value) => value === 1,
  );
  const letters = await until(
    () => cluster.deadLetters(),
    (all) => all.length === 2,
  );
  expect(letters).toEqual([
    {
      reason: 'invalid_record',
      message: 'a line begins with a name of 1 to 255 characters and a colon',
      body: 'broken',
    },
    { reason: 'invalid_record', message: 'sets are not counted here', body: 'users:42|s' },
  ]);
});

test('lines whose storing is answered too late are counted once', async () => {
  const { pid } = cluster.server;
  process.kill(pid, 'SIGSTOP');
  await say('frozen:5|c');
  // Longer than a publish waits for its answer: it is sent again while the first one is still to be read.
  await delay(7_000);
  process.kill(pid, 'SIGCONT');
  await say('thawed:1|c');
  await until(
    () => valueOf('thawed'),
    (value) => value === 1,
  );
  expect(await valueOf('frozen')).toBe(5);
});
