import { once } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { encode, json } from '#shared/protocol/encoding.ts';
import { CollectorCluster, until } from './running-collector.ts';
import { type RunningTail, runTail } from './running-tail.ts';

// `trivet telemetry tail`, as somebody runs it in a terminal and in a pipe.

vi.setConfig({ testTimeout: 90_000 });

let cluster: CollectorCluster;
let tail: RunningTail | undefined;

beforeEach(async () => {
  cluster = await CollectorCluster.start();
});

afterEach(async () => {
  tail?.child.kill('SIGKILL');
  await cluster.stop();
});

const startTail = (...options: readonly string[]): RunningTail =>
  (tail = runTail(['--nats', cluster.server.url], options));

const publish = (records: readonly object[]) =>
  cluster.nats.js.publish(cluster.subjects.telemetry('log'), encode(records, json));

/** Publishes until the tail shows what was published: who watches gets what comes from then on. */
const shownOnce = (message: string, record: object) =>
  until(
    async () => {
      // A NATS that was started again may not take it yet.
      await publish([{ message, ...record }]).catch(() => undefined);
      return tail?.records().filter((one) => one.message === message).length ?? 0;
    },
    (count) => count > 0,
    40_000,
  );

test('tail prints what fits as it comes, through the end of a collector, until Ctrl-C', async () => {
  const { child, records, complaints } = startTail('--level', 'error', '--source', 'shop');
  await until(complaints, (text) => text.includes('no collector answers; waiting for one'));
  const collector = await cluster.startCollector();
  await shownOnce('watched', { level: 'error', source: 'shop' });
  await publish([
    { message: 'too mild', level: 'warning', source: 'shop' },
    { message: 'not asked for', level: 'error', source: 'mill' },
    { message: 'worse', level: 'critical', source: 'shop', attributes: { order: 7 } },
  ]);
  await until(records, (all) => all.some((one) => one.message === 'worse'));
  expect(records().find((one) => one.message === 'worse')).toMatchObject({
    level: 'critical',
    source: 'shop',
    attributes: { order: 7 },
  });
  expect(new Set(records().map((one) => one.message))).toEqual(new Set(['watched', 'worse']));
  await collector.kill();
  await cluster.startCollector();
  await shownOnce('after the kill', { level: 'error', source: 'shop' });
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('tail refuses what is no level, and ends with 0 when nobody reads any more', async () => {
  await cluster.startCollector();
  const refused = startTail('--level', 'loud');
  expect(await once(refused.child, 'close')).toEqual([2, null]);
  expect(refused.complaints()).toContain('level must be one of');
  const { child } = startTail();
  await shownOnce('seen', {});
  child.stdout?.destroy();
  const exit = once(child, 'exit');
  await until(
    async () => {
      await publish([{ message: 'for nobody' }]);
      return child.exitCode;
    },
    (code) => code !== null,
  );
  expect(await exit).toEqual([0, null]);
});

test('tail says when NATS goes away, goes on when it is there again, and ends by Ctrl-C without one', async () => {
  await cluster.startCollector();
  const { child, complaints } = startTail();
  await shownOnce('before', {});
  await cluster.server.restart();
  await until(complaints, (text) => text.includes('NATS went away; waiting for it'));
  await shownOnce('after', {});
  cluster.server.kill();
  await until(complaints, (text) => text.split('went away').length === 3);
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([0, null]);
});
