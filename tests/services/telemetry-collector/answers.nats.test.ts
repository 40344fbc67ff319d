import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { kvAlertStore } from '#services/telemetry-collector/alert-notices.ts';
import { encode, json } from '#shared/protocol/encoding.ts';
import { streamsFor } from '#shared/protocol/subjects.ts';
import type {
  AlertsReply,
  ErrorsReply,
  HistoryReply,
  SeriesReply,
} from '#shared/protocol/telemetry-replies.ts';
import { createInbox, subscribe } from '#shared/runtime/nats.ts';
import { CollectorCluster, until } from './running-collector.ts';

// What a collector answers without any backend, asked by a user over NATS.
vi.setConfig({ testTimeout: 90_000 });

let cluster: CollectorCluster;
let folder: string;

beforeEach(async () => {
  cluster = await CollectorCluster.start();
  folder = await mkdtemp(join(tmpdir(), 'trivet-answers-'));
});

afterEach(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

const publish = (kind: string, records: readonly object[]) =>
  cluster.nats.js.publish(cluster.subjects.telemetry(kind), encode(records, json));

/** Records in messages of 500, some under way at a time. */
async function publishAll(kind: string, count: number, record: (index: number) => object): Promise<void> {
  const perMessage = 500;
  for (let start = 0; start < count; start += perMessage * 10) {
    const messages = Array.from({ length: 10 }, (_, message) => start + message * perMessage)
      .filter((first) => first < count)
      .map((first) =>
        publish(
          kind,
          Array.from({ length: Math.min(perMessage, count - first) }, (_, index) => record(first + index)),
        ),
      );
    await Promise.all(messages);
  }
}

const received = (kind: 'metric' | 'error' | 'log' | 'performance', count: number) =>
  until(
    () => cluster.stats(),
    ({ kinds }) => kinds[kind].received >= count,
    60_000,
  );

const groupsOf = async () => ((await cluster.ask('errors', { limit: 100 })) as ErrorsReply).groups;

test('ten thousand errors of twelve causes are twelve groups, with their first and last time, after a kill, too', async () => {
  const collector = await cluster.startCollector();
  const startMs = Date.parse('2026-11-01T00:00:00Z');
  await publishAll('error', 10_000, (index) => {
    const cause = index % 12;
    const id = `${(index * 7_919).toString(16).padStart(8, '0')}-1111-4222-8333-${String(index).padStart(12, '0')}`;
    return {
      type: cause < 6 ? 'TypeError' : 'PaymentError',
      message: `order ${id} of user ${index} failed in step ${index % 97}`,
      stack:
        `TypeError: order ${id} of user ${index} failed\n` +
        `    at step${'abcdefghijkl'[cause]} (/srv/app/dist/chunk-${(index % 5) + 1_000_000}.js:${index % 900}:${index % 80})\n` +
        `    at process.processTicksAndRejections (node:internal/process/task_queues:${index % 100}:5)`,
      source: `shop-${index % 3}`,
      timestamp: startMs + index * 1_000,
    };
  });
  await received('error', 10_000);
  const groups = await groupsOf();
  expect(groups).toHaveLength(12);
  expect(groups.reduce((sum, one) => sum + one.count, 0)).toBe(10_000);
  const first = groups.find((one) => one.stack?.includes('at stepa '));
  expect(first).toMatchObject({
    type: 'TypeError',
    count: 834,
    firstSeen: '2026-11-01T00:00:00.000Z',
    lastSeen: new Date(startMs + 9_996 * 1_000).toISOString(),
  });
  expect(first?.sources.toSorted()).toEqual(['shop-0']);
  await collector.kill();
  await cluster.startCollector();
  expect(await groupsOf()).toEqual(groups);
});

test('a hundred thousand ids in a tag keep the totals, and the source and the tag are named', async () => {
  await cluster.startCollector('telemetry-collector-1', { TRIVET_TELEMETRY_SERIES_MAX: '500' });
  await publish('metric', [
    { name: 'logins', value: 3, type: 'counter', source: 'till', tags: { region: 'eu' } },
  ]);
  await publishAll('metric', 100_000, (index) => ({
    name: 'logins',
    value: 1,
    type: 'counter',
    source: 'shop',
    tags: { user: `user-${index}`, region: index % 2 === 0 ? 'eu' : 'us' },
  }));
  const stats = await received('metric', 100_001);
  expect(stats.series).toBeLessThanOrEqual(502);
  expect(stats.overflow).toMatchObject([
    { source: 'shop', series: 500, values: 99_500, names: [{ name: 'logins', values: 99_500, tag: 'user' }] },
  ]);
  expect(stats.account).toMatchObject({ received: 100_001, balanced: true });
  const { series } = (await cluster.ask('series', { name: 'logins', limit: 1_000 })) as SeriesReply;
  const total = (source: string) =>
    series.filter((one) => one.source === source).reduce((sum, one) => sum + (one.value ?? 0), 0);
  expect(total('shop')).toBe(100_000);
  // Who behaves keeps its own series.
  expect(series.find((one) => one.source === 'till')).toMatchObject({ value: 3, tags: { region: 'eu' } });
});

test('a tail shows records as they come; who does not ask again is dropped, and nothing waits for it', async () => {
  await cluster.startCollector();
  const seen: { records?: { message: string }[]; ended?: boolean; missed?: number; max?: number }[] = [];
  const inbox = createInbox();
  const subscription = subscribe(cluster.nats, inbox, {}, (message) => seen.push(message.json()));
  const ask = (body: object) =>
    cluster.nats.connection.publish(cluster.subjects.telemetryQuery('tail'), encode(body, json), {
      reply: inbox,
    });
  ask({ kinds: ['log'], level: 'warning', max: 3, lease: '2s' });
  await until(
    () => seen,
    (all) => all.some((one) => one.max === 3),
  );
  await publish('log', [
    { message: 'quiet', level: 'debug' },
    { message: 'first', level: 'error' },
  ]);
  const shown = () => seen.flatMap((one) => one.records ?? []).map((one) => one.message);
  await until(shown, (messages) => messages.length === 1);
  await publishAll('log', 1_000, (index) => ({ message: `flood ${index}`, level: 'error' }));
  await received('log', 1_002);
  expect(shown()).toEqual(['first', 'flood 0', 'flood 1']);
  ask({ kinds: ['log'], max: 10, lease: '1s' });
  await until(
    () => seen,
    (all) => all.some((one) => one.missed === 998),
  );
  await until(
    async () => {
      await publish('log', [{ message: 'tick', level: 'error' }]);
      return seen.some((one) => one.ended === true);
    },
    (isEnded) => isEnded,
  );
  subscription.unsubscribe();
});

test('a tail that would go anywhere but to an inbox is refused', async () => {
  await cluster.startCollector();
  await expect(cluster.ask('tail', { lease: '1h' })).rejects.toThrow('invalid_request: lease');
  await expect(cluster.ask('tail', { kinds: ['metric'] })).rejects.toThrow('invalid_request: kinds');
});

test('history tells what a counter was step by step, and outlives a restart', async () => {
  const collector = await cluster.startCollector();
  for (const value of [1, 2]) {
    await publish('metric', [{ name: 'sold', value, type: 'counter', source: 'shop', tags: { shop: 'a' } }]);
    await received('metric', value);
  }
  const history = async () =>
    ((await cluster.ask('history', { name: 'sold', source: 'shop', tags: { shop: 'a' } })) as HistoryReply)
      .series;
  const last = (await history())[0]?.points.at(-1);
  expect(last).toMatchObject({ value: 3 });
  expect(await collector.stop()).toBe(0);
  await cluster.startCollector();
  expect((await history())[0]?.points.map((point) => point.value)).toContain(3);
  expect(
    ((await cluster.ask('history', { name: 'sold', tags: { shop: 'b' } })) as HistoryReply).series,
  ).toEqual([]);
  await expect(cluster.ask('history', {})).rejects.toThrow('invalid_request: name');
});

test('an alert fires once and resolves once, on its subject and its webhook, which is called until it answers', async () => {
  const calls: { state: string; alert: string }[] = [];
  let refusals = 1;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      refusals -= 1;
      if (refusals >= 0) response.writeHead(503).end();
      else {
        calls.push(JSON.parse(body) as { state: string; alert: string });
        response.writeHead(204).end();
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const origin = `http://127.0.0.1:${port}`;
  const path = join(folder, 'pipelines.json');
  const rule = { name: 'depth', metric: 'queue.depth', stat: 'value', above: 10, webhook: `${origin}/hook` };
  await writeFile(path, JSON.stringify({ alerts: [rule] }));
  const env = {
    TRIVET_TELEMETRY_PIPELINES: path,
    TRIVET_TELEMETRY_WEBHOOKS: origin,
    TRIVET_TELEMETRY_ALERT_MS: '100',
  };
  const collector = await cluster.startCollector('telemetry-collector-1', env);
  const notices: { state: string }[] = [];
  subscribe(cluster.nats, cluster.subjects.telemetryAlert('depth'), {}, (message) =>
    notices.push(message.json()),
  );
  const gauge = (value: number) => publish('metric', [{ name: 'queue.depth', value, source: 'shop' }]);
  const state = async () => ((await cluster.ask('alerts')) as AlertsReply).alerts[0]?.state;
  await gauge(50);
  await until(state, (now) => now === 'firing');
  await until(
    () => calls.length,
    (count) => count === 1,
  );
  // Killed before it has written that the webhook took it, it would owe it still.
  const kept = kvAlertStore(cluster.service, streamsFor('trivet').alerts, 1);
  await until(
    async () => (await kept.read('depth')).alert,
    (alert) => alert?.state === 'firing' && alert.owed === undefined,
  );
  // A restart is no reason to fire again.
  await collector.kill();
  await cluster.startCollector('telemetry-collector-1', env);
  await gauge(60);
  await until(state, (now) => now === 'firing');
  await gauge(1);
  await until(state, (now) => now === 'ok');
  await until(
    () => calls.length,
    (count) => count === 2,
  );
  expect(calls).toMatchObject([
    { alert: 'depth', state: 'firing', above: 10, value: 50 },
    { alert: 'depth', state: 'resolved', value: 1 },
  ]);
  expect(notices.map((one) => one.state)).toEqual(['firing', 'resolved']);
  server.close();
});

test('a webhook that the operator has not allowed keeps the collector from starting, and says which', async () => {
  const path = join(folder, 'pipelines.json');
  const rule = { name: 'a', errors: true, stat: 'rate', above: 1, webhook: 'http://169.254.169.254/latest' };
  await writeFile(path, JSON.stringify({ alerts: [rule] }));
  await expect(
    cluster.startCollector('telemetry-collector-1', { TRIVET_TELEMETRY_PIPELINES: path }),
  ).rejects.toThrow('alerts[0].webhook must begin with an origin of TRIVET_TELEMETRY_WEBHOOKS');
});

test('every record is accounted for while a destination is down, and each drop has an example', async () => {
  await cluster.startCollector('telemetry-collector-1', {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    OTEL_SDK_DISABLED: 'true',
    TRIVET_TELEMETRY_LEVEL: 'info',
  });
  await publish('log', [{ message: 'kept' }, { message: 'left out', level: 'debug' }, { message: 7 }]);
  const stats = await received('log', 3);
  expect(stats.account).toEqual({
    received: 3,
    exported: 0,
    filtered: 1,
    sampled: 0,
    deadLettered: 1,
    pending: 1,
    balanced: true,
  });
  expect(stats.examples).toMatchObject({
    invalid_record: {
      index: 2,
      message: 'message must be text of 1 to 32768 characters',
      record: '{"message":7}',
    },
    filtered: { index: 1, record: '{"message":"left out","level":"debug"}' },
  });
  const { backlog } = await until(
    () => cluster.stats(),
    (now) => now.backlog.unacknowledged === 1,
  );
  expect(backlog.waiting).toBe(0);
});
