import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import { type RunningQueue, headersOf, leased, listed, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

test('a dequeue that waits is served as soon as an item comes, in one record of the log', async () => {
  const waiting = queue.ask('served', 'dequeue', { wait: '10s' });
  await queue.client.flush();
  const before = (await auditLog(queue.server)).records;
  await queue.ask('served', 'enqueue', 1);
  expect(leased(await waiting)).toHaveLength(1);
  expect((await auditLog(queue.server)).records - before).toBe(1);
});

test('a dequeue that waits in vain gets an empty list when its time is over, and not before', async () => {
  const startedMs = performance.now();
  const { body } = await queue.ask('in-vain', 'dequeue', { wait: '300ms' });
  expect(body).toEqual({ items: [] });
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(295);
});

test('who waits is served in the order of coming, each item once', async () => {
  const waiting = Array.from({ length: 5 }, () => queue.ask('in-line', 'dequeue', { max: 2, wait: '10s' }));
  await queue.client.flush();
  const items = Array.from({ length: 9 }, (_, n) => ({ payload: n }));
  await queue.ask('in-line', 'enqueue-many', { items });
  const handed = (await Promise.all(waiting)).map((reply) => leased(reply).map((item) => item.payload));
  expect(handed).toEqual([[0, 1], [2, 3], [4, 5], [6, 7], [8]]);
});

test('what a vanished worker waited for goes to the next one, and the attempt is not charged', async () => {
  const leaving = await connect({ servers: queue.server.url });
  const asked = leaving.request('trivet.queue.vanished.dequeue', '{"wait":"30s"}', { timeout: 30_000 });
  const outcome = asked.catch(() => 'gone');
  await leaving.flush();
  // The broker has taken the request: a later one on the same connection is answered.
  await leaving.request('trivet.queue.vanished.stats');
  await leaving.close();
  await outcome;
  await queue.ask('vanished', 'enqueue', 1);
  const [item] = leased(await queue.ask('vanished', 'dequeue', { wait: '5s' }));
  expect(item).toMatchObject({ attempt: 1, payload: 1 });
  const { transitions } = shown(await queue.ask('vanished', 'get', { id: item?.id }));
  expect(transitions.map((one) => one.why)).toEqual(['enqueued', 'claimed', 'released', 'claimed']);
});

/** Where a caller has no business: the log, its fence, the captured publishes, leases, JetStream itself. */
const internal = [
  'trivet.log.0',
  'trivet.fence.0',
  'trivet.ingest.0.jobs',
  'trivet.jobs.injected',
  '$KV.TRIVET_LEASES.owner',
  '$JS.API.STREAM.DELETE.TRIVET_LOG_0',
  'trivet.queue.injected.enqueue',
] as const;

test('nothing is ever answered to a subject that is no inbox', async () => {
  await queue.ask('injecting', 'enqueue', 1);
  const before = await auditLog(queue.server);
  const requests = [
    ['trivet.queue.injecting.get', '{"id":"0-1"}'],
    ['trivet.queue.injecting.get', 'nonsense'],
    ['trivet.queue.injecting.list', ''],
    ['trivet.queue.injecting.stats', ''],
    ['trivet.queue.a$b.stats', ''],
    ['trivet.queue.stats', ''],
    ['trivet.queue.list', ''],
    ['$SRV.PING', ''],
    ['$SRV.INFO.trivet-queue', ''],
    ['$SRV.STATS', ''],
  ] as const;
  for (const reply of internal)
    for (const [subject, body] of requests) queue.client.publish(subject, body, { reply });
  // Served in order: when this is answered, the ones before it have been.
  await queue.ask('injecting', 'stats');
  const after = await auditLog(queue.server);
  expect(after.records).toBe(before.records);
  expect(after.foreign).toBe(0);
  expect((await queue.ask('injected', 'stats')).body).toMatchObject({ counts: { pending: 0, failed: 0 } });
});

test('items asked for with such a reply subject are handed back, uncharged', async () => {
  await queue.ask('diverted', 'enqueue', 1);
  for (const reply of internal) queue.client.publish('trivet.queue.diverted.dequeue', '', { reply });
  const [item] = leased(await queue.ask('diverted', 'dequeue', { wait: '5s' }));
  expect(item).toMatchObject({ attempt: 1 });
  expect((await auditLog(queue.server)).foreign).toBe(0);
});

test('a request without a reply subject is carried out', async () => {
  queue.client.publish('trivet.queue.one-way.enqueue', '1', { headers: headersOf({ 'Nats-Msg-Id': 'k' }) });
  await expect.poll(async () => listed(await queue.ask('one-way', 'list'))).toHaveLength(1);
});

test('the broker answers the service protocol of NATS', async () => {
  const ask = async (subject: string) =>
    (await queue.client.request(subject, '', { timeout: 5_000 })).json<Record<string, unknown>>();
  const ping = await ask('$SRV.PING');
  expect(ping).toMatchObject({
    type: 'io.nats.micro.v1.ping_response',
    name: 'trivet-queue',
    version: '0.1.0',
  });
  expect(await ask('$SRV.INFO.trivet-queue')).toMatchObject({
    type: 'io.nats.micro.v1.info_response',
    id: ping['id'],
    endpoints: [{ name: 'queue', subject: 'trivet.queue.*.*', queue_group: 'trivet-queue' }],
  });
  const figures = async () =>
    (await ask(`$SRV.STATS.trivet-queue.${String(ping['id'])}`))['endpoints'] as Record<string, number>[];
  const [before] = await figures();
  await queue.ask('figures', 'enqueue', 1);
  await queue.ask('figures', 'get', { id: '0-zzzz' });
  const [after] = await figures();
  expect(after).toMatchObject({
    num_requests: (before?.['num_requests'] ?? 0) + 2,
    num_errors: (before?.['num_errors'] ?? 0) + 1,
    last_error: expect.stringContaining('not_found') as string,
  });
});
