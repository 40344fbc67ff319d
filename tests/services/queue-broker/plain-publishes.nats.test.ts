import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningQueue, type Shown, leased, listed, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  // The stream that captures publishes exists once Trivet has run on this NATS.
  const first = await queue.startBroker();
  expect(await first.stop()).toBe(0);
});

afterAll(() => queue?.stop());

test('what was published while no broker ran becomes items when one comes up', async () => {
  const published = Array.from({ length: 50 }, (_, n) => `{"n":${n}}`);
  for (const body of published) await queue.publish('asleep', body);
  const key = { 'Nats-Msg-Id': 'the-one' };
  await queue.publish('asleep-keyed', '"first"', key);
  await queue.publish('asleep-keyed', '"second"', { 'Nats-Msg-Id': 'another' });
  // The server's own window (100 ms, over all queues) drops what comes too soon and says so; ours knows the rest.
  for (const name of ['asleep-keyed', 'other-queue'])
    await expect.poll(async () => (await queue.publish(name, '"again"', key)).duplicate).toBe(false);
  await manyHeaders();

  await queue.startBroker();
  const items = await itemsOf('asleep', 50);
  expect(items.map((item) => JSON.stringify(item.payload))).toEqual(published);
  const keyed = await itemsOf('asleep-keyed', 2);
  expect(keyed.map((item) => [item.key, item.payload])).toEqual([
    ['the-one', 'first'],
    ['another', 'second'],
  ]);
  expect(await itemsOf('other-queue', 1)).toMatchObject([{ key: 'the-one' }]);
  expect(await countOf('many-headers')).toBe(600);
});

/** Six hundred items whose headers are far larger than their payloads: 19 MB in all, more than one message holds. */
async function manyHeaders(): Promise<void> {
  const values = Object.fromEntries(
    Array.from({ length: 32 }, (_, n) => [`Header-${n}`, String(n).padEnd(1_000, 'x')]),
  );
  await Promise.all(Array.from({ length: 600 }, (_, n) => queue.publish('many-headers', String(n), values)));
}

test('a publish with the key of an item that came by request is no second item', async () => {
  const key = { 'Nats-Msg-Id': 'shared' };
  const enqueued = await queue.ask('both-ways', 'enqueue', 1, key);
  expect(enqueued.body).toMatchObject({ duplicate: false });
  await queue.publish('both-ways', '2', key);
  await queue.publish('both-ways', '3');
  const items = await itemsOf('both-ways', 2);
  expect(items.map((item) => item.payload)).toEqual([1, 3]);
  const { id } = shown(enqueued);
  expect((await queue.ask('both-ways', 'enqueue', 4, key)).body).toMatchObject({ id, duplicate: true });
});

/** A delay counts from when it was decided; the record that it stands in may have begun some milliseconds earlier. */
function mustBeDelayed(from: string | undefined, to: string | undefined, delayMs: number): void {
  const ms = Date.parse(to ?? '') - Date.parse(from ?? '');
  expect(ms).toBeGreaterThanOrEqual(delayMs);
  expect(ms).toBeLessThan(delayMs + 100);
}

test('every option travels in its header', async () => {
  const inAnHour = new Date(Date.now() + 3_600_000);
  await queue.publish('options', '"a"', {
    'Trivet-Priority': 'critical',
    'Trivet-Run-At': inAnHour.toISOString(),
    'Trivet-Max-Attempts': '7',
    'Trivet-Group': 'customer-1',
    'Nats-Msg-Id': 'key-1',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  });
  await queue.publish('options', '"b"', { 'Trivet-Delay': '1h' });
  const [a, b] = await itemsOf('options', 2);
  expect(a).toMatchObject({
    state: 'scheduled',
    priority: 'critical',
    runAt: inAnHour.toISOString(),
    maxAttempts: 7,
    group: 'customer-1',
    key: 'key-1',
    headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  });
  expect(b).toMatchObject({ state: 'scheduled', priority: 'normal', maxAttempts: 5 });
  mustBeDelayed(b?.enqueuedAt, b?.runAt, 3_600_000);
});

test('durations and times in headers may be whole milliseconds', async () => {
  const runAt = Date.now() + 3_600_000;
  await queue.publish('milliseconds', '1', { 'Trivet-Delay': '60000' });
  await queue.publish('milliseconds', '2', { 'Trivet-Run-At': String(runAt) });
  const [delayed, timed] = await itemsOf('milliseconds', 2);
  expect(delayed).toMatchObject({ state: 'scheduled' });
  mustBeDelayed(delayed?.enqueuedAt, delayed?.runAt, 60_000);
  expect(timed).toMatchObject({ state: 'scheduled', runAt: new Date(runAt).toISOString() });
});

test('back-off, time-out and expiry of a publish are kept to', async () => {
  await queue.publish('backing-off', '1', { 'Trivet-Backoff': 'fixed:1h' });
  const [item] = leased(await queue.ask('backing-off', 'dequeue', { wait: '5s' }));
  const failed = await queue.ask('backing-off', 'fail', {
    id: item?.id,
    token: item?.token,
    error: { message: 'no' },
  });
  const { nextAttemptAt } = failed.body as { nextAttemptAt: string };
  const after = shown(await queue.ask('backing-off', 'get', { id: item?.id }));
  mustBeDelayed(after.transitions.at(-1)?.at, nextAttemptAt, 3_600_000);

  await queue.publish('timing-out', '1', { 'Trivet-Timeout': '200ms', 'Trivet-Max-Attempts': '1' });
  const timingOut = leased(await queue.ask('timing-out', 'dequeue', { wait: '5s', lease: '1m' }));
  expect(timingOut).toHaveLength(1);
  await queue.publish('expiring', '1', { 'Trivet-Expires': '200ms' });
  for (const [name, why] of [
    ['timing-out', 'timeout'],
    ['expiring', 'expired'],
  ] as const) {
    await expect.poll(async () => (await itemsOf(name, 1))[0]?.state, { timeout: 5_000 }).toBe('failed');
    expect((await itemsOf(name, 1))[0]?.transitions.at(-1)).toMatchObject({ why });
  }
});

const misunderstood: readonly (readonly [header: string, value: string])[] = [
  ['Trivet-Priority', 'urgent'],
  ['Trivet-Delay', 'soon'],
  ['Trivet-Run-At', 'tomorrow'],
  ['Trivet-Max-Attempts', '0'],
  ['Trivet-Max-Attempts', 'many'],
  ['Trivet-Backoff', 'linear:1s'],
  ['Trivet-Timeout', '-1s'],
  ['Trivet-Expires', '0s'],
  ['Trivet-Group', 'g'.repeat(257)],
  ['Nats-Msg-Id', 'k'.repeat(257)],
  ['Trivet-Priorty', 'high'],
  ['Content-Type', 'x'.repeat(2_000)],
];

test.each(misunderstood)(
  'a publish with a bad %s becomes a failed item that says why',
  async (header, value) => {
    const name = `misunderstood-${header}-${value.slice(0, 4)}`.replaceAll(/[^A-Za-z0-9_-]/g, '_');
    await queue.publish(name, '{"kept":true}', { [header]: value });
    const [item] = await itemsOf(name, 1);
    expect(item).toMatchObject({ state: 'failed', attempt: 0, payload: { kept: true } });
    expect(item?.attempts[0]?.error).toMatchObject({ type: 'invalid_request' });
    expect(item?.attempts[0]?.error?.message).toContain(header);
    expect(leased(await queue.ask(name, 'dequeue'))).toEqual([]);
  },
);

test('a payload over 1 MiB becomes a failed item, and the ones behind it pass', async () => {
  await queue.publish('large', Buffer.alloc(1_048_577, 'x'));
  await queue.publish('large', '"small"');
  const items = await itemsOf('large', 2);
  expect(items.map((item) => item.state)).toEqual(['failed', 'pending']);
  expect(items[0]?.attempts[0]?.error).toMatchObject({ type: 'payload_too_large' });
});

test('a publish that cannot replace what it should becomes a failed item, and the other one stays as it was', async () => {
  const key = { 'Nats-Msg-Id': 'report' };
  await queue.publish('replacing', '"first"', { ...key, 'Trivet-Delay': '1h' });
  const replaces = { ...key, 'Trivet-On-Duplicate': 'replace' };
  const large = Buffer.alloc(1_048_577, 'x');
  for (const [body, more] of [
    [large, {}],
    ['"second"', { 'Trivet-Priority': 'urgent' }],
  ] as const) {
    const published = () => queue.publish('replacing', body, { ...replaces, ...more });
    await expect.poll(async () => (await published()).duplicate).toBe(false);
  }
  const [first, ...refused] = await itemsOf('replacing', 3);
  expect(first).toMatchObject({ state: 'scheduled', payload: 'first', key: 'report' });
  expect(refused.map(({ state, attempts }) => [state, attempts[0]?.error?.type])).toEqual([
    ['failed', 'payload_too_large'],
    ['failed', 'invalid_request'],
  ]);
});

test('a publish to a name that no queue can have does not wait for ever', async () => {
  await queue.publish('no$queue', '1');
  await queue.publish('a-queue', '1');
  await itemsOf('a-queue', 1);
  const { body } = await queue.send('trivet.queue.stats', '');
  const { queues } = body as { queues: { queue: string; counts: Record<string, number> }[] };
  expect(queues.find((one) => one.queue === 'no$queue')?.counts).toMatchObject({ pending: 0, failed: 1 });
});

test('the pages of all queues lead past a name that no queue can have', async () => {
  await queue.publish('a$b', '1');
  for (const what of ['list', 'stats']) {
    const seen: unknown[] = [];
    let cursor: string | undefined;
    do {
      const { status, body } = await queue.send(`trivet.queue.${what}`, JSON.stringify({ limit: 1, cursor }));
      expect(status).toBe(0);
      const page = body as { queues: (string | { queue: string })[]; cursor?: string };
      seen.push(...page.queues.map((one) => (typeof one === 'string' ? one : one.queue)));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(seen).toContain('a$b');
    expect(seen).toContain('a-queue');
  }
});

test('a worker that waits is served by a publish at once, every time', async () => {
  for (let n = 0; n < 50; n += 1) {
    const waiting = queue.ask(`waited-for-${n}`, 'dequeue', { wait: '5s' });
    await queue.publish(`waited-for-${n}`, '1');
    expect(leased(await waiting)).toHaveLength(1);
  }
});

test('bytes that are not JSON are handed out as payloadBase64, untouched', async () => {
  const bytes = new Uint8Array([0, 255, 13, 10, 128]);
  await queue.publish('bytes', bytes);
  const [item] = leased(await queue.ask('bytes', 'dequeue', { wait: '5s' }));
  expect(item).not.toHaveProperty('payload');
  expect(Buffer.from(item?.payloadBase64 ?? '', 'base64')).toEqual(Buffer.from(bytes));
});

test('what has been taken in is removed from the stream of publishes', async () => {
  const { url, user, password: pass } = queue.server;
  const service = await connect({ servers: url, user, pass, inboxPrefix: '_INBOX_TRIVET' });
  const manager = await jetstreamManager(service);
  const left = async () => (await manager.streams.info('TRIVET_INGEST')).state.messages;
  await expect.poll(left, { timeout: 10_000 }).toBe(0);
  await service.close();
});

test('publishes are taken in soon after nats-server was killed', { timeout: 60_000 }, async () => {
  queue.server.kill();
  await queue.server.restart();
  await expect
    .poll(() => queue.publish('restarted', '1').catch(() => undefined), { timeout: 20_000 })
    .toBeDefined();
  const startedMs = performance.now();
  await expect
    .poll(() => countOf('restarted').catch(() => 0), { timeout: 40_000, interval: 100 })
    .toBeGreaterThan(0);
  expect(performance.now() - startedMs).toBeLessThan(8_000);
});

/** Waits until the queue has that many items, and returns them in order. */
async function itemsOf(name: string, count: number): Promise<readonly Shown[]> {
  await expect.poll(() => countOf(name), { timeout: 10_000 }).toBe(count);
  return listed(await queue.ask(name, 'list', { limit: 500 }));
}

async function countOf(name: string): Promise<number> {
  const { body } = await queue.ask(name, 'stats');
  return Object.values((body as { counts: Record<string, number> }).counts).reduce((sum, n) => sum + n, 0);
}
