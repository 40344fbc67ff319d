import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTelemetry } from '#shared/client/telemetry.ts';
import { encode, json, msgpack } from '#shared/protocol/encoding.ts';
import { telemetryKinds, telemetryRecords } from '#shared/protocol/telemetry-records.ts';
import { type CollectorStats, telemetryReplies } from '#shared/protocol/telemetry-replies.ts';
import { validator } from '#shared/protocol/validation.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import { badRequests } from '#tests/support/bad-requests.ts';
import { CollectorCluster, until } from './running-collector.ts';

let cluster: CollectorCluster;
let metrics = '';

beforeAll(async () => {
  cluster = await CollectorCluster.start();
  const collector = await cluster.startCollector();
  metrics = `${collector.http}/metrics`;
});

afterAll(() => cluster.stop());

const settled = (kind: keyof CollectorStats['kinds'], count: number) =>
  until(
    () => cluster.stats(),
    ({ kinds }) => kinds[kind].received - kinds[kind].inFlight >= count,
  );

test('records of all five kinds come from a user and are told back', async () => {
  const telemetry = createTelemetry(cluster.nats, cluster.subjects, { source: 'shop' });
  await Promise.all([
    telemetry.counter('orders', 2, { tags: { region: 'eu' } }),
    telemetry.counter('orders', 3, { tags: { region: 'eu' } }),
    telemetry.gauge('queue.depth', 7),
    telemetry.histogram('basket.size', 12, { unit: 'EUR' }),
    telemetry.event({ name: 'order.placed', attributes: { id: 'o-1', lines: [1, 2], deep: { a: null } } }),
    telemetry.performance({ operation: 'checkout', durationMs: 12.5, success: true }),
    telemetry.performance({ operation: 'checkout', durationMs: 40, success: false }),
    telemetry.error(new TypeError('no such basket'), { attributes: { basket: 'b-9' } }),
    telemetry.log({ message: 'till opened', level: 'warning' }),
  ]);
  await settled('log', 1);
  await settled('performance', 2);
  await settled('metric', 4);
  expect(await cluster.ask('series', { source: 'shop', name: 'orders' })).toEqual({
    series: [
      {
        name: 'orders',
        type: 'counter',
        source: 'shop',
        collector: 'telemetry-collector-1',
        tags: { region: 'eu' },
        value: 5,
      },
    ],
    count: 1,
  });
  expect(await cluster.ask('operations')).toMatchObject({
    operations: [{ operation: 'checkout', count: 2, successRate: 0.5, durationMs: { min: 12.5, max: 40 } }],
  });
  expect(await cluster.ask('events', { name: 'order.placed' })).toMatchObject({
    events: [{ source: 'shop', attributes: { id: 'o-1', lines: [1, 2], deep: { a: 'null' } } }],
  });
  expect(await cluster.ask('errors', { type: 'TypeError' })).toMatchObject({
    errors: [{ message: 'no such basket', level: 'error', attributes: { basket: 'b-9' } }],
  });
  expect(await cluster.ask('logs', { level: 'warning' })).toMatchObject({
    logs: [{ message: 'till opened' }],
  });
  await until(
    () => cluster.streamMessages(),
    (count) => count === 0,
  );
});

test('every query answers as its schema says', async () => {
  for (const [query, schema] of Object.entries(telemetryReplies)) {
    const body = query === 'history' ? { name: 'orders' } : {};
    expect(validator(schema)(await cluster.ask(query, body)), query).toMatchObject({ ok: true });
  }
});

test('a query with a field that it does not know names the field', async () => {
  await expect(cluster.ask('series', { colour: 'red' })).rejects.toThrow(
    'invalid_request: colour is not a known field',
  );
  await expect(cluster.ask('series', null)).rejects.toThrow('invalid_request: body must be an object');
});

test('a query that is not there is an unknown operation', async () => {
  await expect(cluster.ask('weather')).rejects.toThrow(
    'invalid_request: operation must be one of stats, series',
  );
});

test('Prometheus reads the same text over HTTP and over NATS', async () => {
  const scrape = await fetch(metrics);
  const text = await scrape.text();
  expect(scrape.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  expect(text).toContain(
    '# TYPE orders_total counter\norders_total{job="shop",region="eu",collector="telemetry-collector-1"} 5\n',
  );
  expect(text).toContain(
    'trivet_operation_duration_count{job="shop",operation="checkout",success="true",collector="telemetry-collector-1"} 1',
  );
  const reply = (await cluster.ask('prometheus')) as { text: string };
  expect(reply.text).toContain('orders_total{job="shop",region="eu",collector="telemetry-collector-1"} 5\n');
});

test('MessagePack is read as JSON is, alone and in an array', async () => {
  const headers = headersOf({ 'Content-Type': msgpack });
  const publish = (body: unknown) =>
    cluster.nats.js.publish(
      cluster.subjects.telemetry('metric'),
      encode(body, msgpack),
      headers && { headers },
    );
  await publish({ name: 'packed', value: 1, type: 'counter' });
  await publish([
    { name: 'packed', value: 2, type: 'counter' },
    { name: 'packed', value: 3, type: 'counter' },
  ]);
  await until(
    () => cluster.ask('series', { name: 'packed' }),
    (reply) => JSON.stringify(reply).includes('"value":6'),
  );
});

test('a bad record is a dead letter with its reason, and its neighbours pass', async () => {
  const before = await cluster.stats();
  const records = [{ message: 'good 1' }, { message: 3 }, { message: 'good 2' }, null];
  await cluster.nats.js.publish(cluster.subjects.telemetry('log'), encode(records, json));
  await settled('log', before.kinds.log.received + 4);
  const logs = (await cluster.ask('logs', { limit: 2 })) as { logs: { message: string }[] };
  expect(logs.logs.map((one) => one.message)).toEqual(['good 2', 'good 1']);
  expect(await cluster.deadLetters()).toEqual([
    {
      reason: 'invalid_record',
      message: 'message must be text of 1 to 32768 characters',
      body: '{"message":3}',
    },
    {
      reason: 'invalid_record',
      message: 'body must be an object {message, level?, attributes?, timestamp?, source?}',
      body: 'null',
    },
  ]);
});

test.each([
  ['log', undefined, '{"message":', 'undecodable'],
  ['log', undefined, Buffer.from([0x22, 0xff, 0xfe, 0x22]), 'undecodable'],
  ['log', 'text/csv', 'a;b', 'unknown_content_type'],
  ['weather', undefined, '{}', 'unknown_kind'],
  ['metric', undefined, '{"name":"c","value":-1,"type":"counter"}', 'invalid_record'],
  ['metric', undefined, '{"name":"orders","value":1,"type":"gauge"}', 'type_conflict'],
  ['event', undefined, '{"name":"e","timestamp":"2026-13-01T10:00:00Z"}', 'invalid_record'],
])('a %s message of %s type, %s, is kept as %s', async (kind, contentType, body, reason) => {
  const before = (await cluster.stats()).reasons[reason] ?? 0;
  const headers = headersOf({ 'Content-Type': contentType });
  await cluster.nats.js.publish(cluster.subjects.telemetry(kind), body, headers && { headers });
  await until(
    () => cluster.stats(),
    (stats) => stats.reasons[reason] === before + 1,
  );
  expect((await cluster.deadLetters()).at(-1)?.reason).toBe(reason);
});

const valid = {
  metric: { name: 'm', value: 1, type: 'counter', unit: 'By', tags: { a: 'b' }, timestamp: 1, source: 's' },
  event: { name: 'e', level: 'info', attributes: { a: 1 }, timestamp: 1, source: 's' },
  performance: { operation: 'o', durationMs: 1, success: true, tags: { a: 'b' }, timestamp: 1, source: 's' },
  error: { message: 'm', type: 't', stack: 's', level: 'error', attributes: {}, timestamp: 1, source: 's' },
  log: { message: 'm', level: 'info', attributes: {}, timestamp: 1, source: 's' },
};

const byText = (one: string, other: string): number => one.localeCompare(other);

test.each(telemetryKinds)(
  'every way to break a %s record ends as a dead letter that names the field',
  async (kind) => {
    const bad = [...badRequests(telemetryRecords[kind], valid[kind])].filter(
      // In a message an array is many records.
      (one) => !(Array.isArray(one.body) && one.field === 'body'),
    );
    const lettersBefore = (await cluster.deadLetters()).length;
    const before = await cluster.stats();
    await cluster.nats.js.publish(
      cluster.subjects.telemetry(kind),
      encode([...bad.map((one) => one.body), valid[kind]], json),
    );
    const after = await settled(kind, before.kinds[kind].received + bad.length + 1);
    expect(after.kinds[kind].deadLettered - before.kinds[kind].deadLettered).toBe(bad.length);
    expect(after.kinds[kind].exported - before.kinds[kind].exported).toBe(1);
    const letters = (await cluster.deadLetters()).slice(lettersBefore);
    const named = letters.map((letter) => letter.message.split(' ', 1)[0] ?? '');
    expect(named.toSorted(byText)).toEqual(bad.map((one) => one.field).toSorted(byText));
  },
);

test('the service protocol shows a collector under its name', async () => {
  const reply = await cluster.nats.connection.request('$SRV.STATS.trivet-telemetry', '');
  expect(reply.json()).toMatchObject({ name: 'trivet-telemetry', endpoints: [{ name: 'query' }] });
});
