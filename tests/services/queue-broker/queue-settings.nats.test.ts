import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningQueue, leased, listed, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

const defaults = {
  maxAttempts: 5,
  backoff: 'exponential:1s:1h',
  lease: 30_000,
  dedupWindow: 86_400_000,
  ordering: 'strict',
  agingAfter: 300_000,
  concurrency: {},
  rateLimit: {},
  retention: { done: { age: 3_600_000, count: 100_000 }, failed: { age: 14 * 86_400_000 } },
  search: [],
};

const settingsOf = async (name: string, operation = 'describe', body: object = {}) => {
  const reply = await queue.ask(name, operation, body);
  expect(reply).toMatchObject({ status: 0, body: { queue: name, paused: false } });
  return (reply.body as { settings: object }).settings;
};

const refusal = (field: string) => ({
  status: 400,
  body: { error: { code: 'invalid_request', details: { field } } },
});

test('a queue that was never configured has the defaults', async () => {
  expect(await settingsOf('untouched')).toEqual(defaults);
});

test('configure leaves alone what it does not name, part by part, and null is the default again', async () => {
  const first = {
    maxAttempts: 2,
    timeout: '1m',
    ordering: 'weighted',
    concurrency: { total: 4, perGroup: 1 },
    rateLimit: { total: { count: 10, per: '1s' } },
    retention: { done: { age: '1d', bytes: 1_000 } },
    search: ['user.email', 'user.email'],
  };
  const after = {
    ...defaults,
    maxAttempts: 2,
    timeout: 60_000,
    ordering: 'weighted',
    concurrency: { total: 4, perGroup: 1 },
    rateLimit: { total: { count: 10, per: 1_000 } },
    retention: { ...defaults.retention, done: { age: 86_400_000, count: 100_000, bytes: 1_000 } },
    search: ['user.email'],
  };
  expect(await settingsOf('merged', 'configure', first)).toEqual(after);
  const second = {
    maxAttempts: null,
    concurrency: { total: null },
    rateLimit: { perGroup: { count: 1, per: 50 } },
    retention: { done: { bytes: null }, failed: { count: 3 } },
  };
  const then = {
    ...after,
    maxAttempts: 5,
    concurrency: { perGroup: 1 },
    rateLimit: { total: { count: 10, per: 1_000 }, perGroup: { count: 1, per: 50 } },
    retention: { done: { age: 86_400_000, count: 100_000 }, failed: { age: 14 * 86_400_000, count: 3 } },
  };
  expect(await settingsOf('merged', 'configure', second)).toEqual(then);
  expect(await settingsOf('merged', 'configure')).toEqual(then);
  expect(await settingsOf('merged')).toEqual(then);
  const nothing = Object.fromEntries(Object.keys(first).map((name) => [name, null]));
  expect(await settingsOf('merged', 'configure', nothing)).toEqual(defaults);
});

test('a duration out of its range is refused by the name of its field, and nothing of the request holds', async () => {
  const faults: readonly (readonly [string, object])[] = [
    ['timeout', { timeout: 0 }],
    ['timeout', { timeout: '999999999999d' }],
    ['lease', { lease: '99ms' }],
    ['lease', { lease: '2d' }],
    ['dedupWindow', { dedupWindow: '999ms' }],
    ['agingAfter', { agingAfter: 999 }],
    ['backoff', { backoff: 'exponential:2h:1h' }],
    ['rateLimit.total.per', { rateLimit: { total: { count: 1, per: 0 } } }],
    ['rateLimit.perGroup.per', { rateLimit: { perGroup: { count: 1, per: '25h' } } }],
    ['retention.done.age', { retention: { done: { age: '9999999999d' } } }],
    ['retention.failed.age', { retention: { failed: { age: '9999999999d' } } }],
    ['concurrency.perGroup', { concurrency: { perGroup: 0 } }],
    ['rateLimit.total.count', { rateLimit: { total: { count: 100_001, per: '1s' } } }],
    ['rateLimit.total.per', { rateLimit: { total: { count: 1 } } }],
    ['retention.done.days', { retention: { done: { days: 1 } } }],
    ['search[1]', { search: ['a.b', 'a..b'] }],
  ];
  for (const [field, body] of faults) {
    const reply = await queue.ask('unharmed', 'configure', { maxAttempts: 9, ...body });
    expect({ sent: body, ...reply }).toMatchObject(refusal(field));
  }
  expect(await settingsOf('unharmed')).toEqual(defaults);
});

test('items get the settings of the moment at which they are enqueued, unless they say otherwise', async () => {
  await queue.ask('stamped', 'enqueue', 1);
  await queue.ask('stamped', 'configure', { maxAttempts: 1, timeout: '90ms', lease: '10m' });
  await queue.ask('stamped', 'enqueue', 2);
  await queue.ask('stamped', 'enqueue', 3, { 'Trivet-Max-Attempts': '7', 'Trivet-Timeout': '1h' });
  const items = listed(await queue.ask('stamped', 'list'));
  expect(items.map(({ maxAttempts }) => maxAttempts)).toEqual([5, 1, 7]);
  const [item] = leased(await queue.ask('stamped', 'dequeue'));
  const lasts = Date.parse(item?.leaseExpiresAt ?? '') - Date.now();
  expect(lasts).toBeGreaterThan(500_000);
  const [late] = leased(await queue.ask('stamped', 'dequeue'));
  await expect
    .poll(async () => shown(await queue.ask('stamped', 'get', { id: late?.id })))
    .toMatchObject({ state: 'failed', attempts: [{ error: { type: 'timeout' } }] });
});

test('the back-off of a queue is that of its items', async () => {
  await queue.ask('backed-off', 'configure', { backoff: 'fixed:7m' });
  await queue.ask('backed-off', 'enqueue', 1);
  const [item] = leased(await queue.ask('backed-off', 'dequeue'));
  const failed = await queue.ask('backed-off', 'fail', {
    id: item?.id,
    token: item?.token,
    error: { message: 'no' },
  });
  const waits = Date.parse((failed.body as { nextAttemptAt: string }).nextAttemptAt) - Date.now();
  expect(waits).toBeGreaterThan(400_000);
  expect(waits).toBeLessThanOrEqual(420_000);
});

test('a key stands for its item for as long as the queue says', async () => {
  await queue.ask('keyed', 'configure', { dedupWindow: '1s' });
  const enqueue = () => queue.ask('keyed', 'enqueue', 1, { 'Nats-Msg-Id': 'k' });
  const first = shown(await enqueue());
  expect((await enqueue()).body).toMatchObject({ id: first.id, duplicate: true });
  await expect
    .poll(async () => (await enqueue()).body, { timeout: 10_000 })
    .toMatchObject({ duplicate: false });
});

test('settings survive a broker that is killed, and another one that takes over', async () => {
  const own = await startQueue();
  try {
    const asked = { maxAttempts: 3, concurrency: { total: 1 }, retention: { failed: { count: 5 } } };
    const broker = await own.startBroker();
    const { body } = await own.ask('kept', 'configure', asked);
    await own.ask('kept', 'enqueue-many', { items: [{ payload: 1 }, { payload: 2 }] });
    expect(leased(await own.ask('kept', 'dequeue', { max: 2 }))).toHaveLength(1);
    await broker.kill();
    const again = await own.startBroker();
    expect((await own.ask('kept', 'describe')).body).toEqual(body);
    expect(leased(await own.ask('kept', 'dequeue', { max: 2 }))).toHaveLength(0);
    await again.kill();
    await own.startBroker('queue-broker-2');
    expect((await own.ask('kept', 'describe')).body).toEqual(body);
    expect(leased(await own.ask('kept', 'dequeue', { max: 2 }))).toHaveLength(0);
  } finally {
    await own.stop();
  }
});

test('settings change by the tag that one has read, and by no other: of many at once one does', async () => {
  const tagOf = async () => (await queue.ask('tagged', 'describe', {})).body as { tag: string };
  const { tag } = await tagOf();
  const wanted = Array.from({ length: 20 }, (_, index) => index + 10);
  const asked = await Promise.all(
    wanted.map((maxAttempts) => queue.ask('tagged', 'configure', { maxAttempts, ifTag: tag })),
  );
  const won = asked.filter(({ status }) => status === 0);
  expect(won).toHaveLength(1);
  const lost = asked.filter(({ status }) => status === 409);
  expect(lost).toHaveLength(19);
  const now = await tagOf();
  expect(won[0]?.body).toMatchObject({ tag: now.tag });
  for (const { body } of lost)
    expect(body).toMatchObject({ error: { code: 'conflict', details: { tag: now.tag } } });
  expect(now.tag).not.toBe(tag);
  const schedules = { nightly: { cron: '0 3 * * *', payload: 12_345_678_901 } };
  const scheduled = await queue.ask('tagged', 'configure', { schedules, ifTag: now.tag });
  expect(scheduled.status).toBe(0);
  expect((await tagOf()).tag).not.toBe(now.tag);
  // What is the same again has the same tag, whatever was there in between.
  const back = await queue.ask('tagged', 'configure', { schedules: null, maxAttempts: null });
  expect(back.body).toMatchObject({ tag });
});

test('a schedule cannot name an owner for what it enqueues', async () => {
  const schedules = { nightly: { cron: '0 3 * * *', headers: { 'Trivet-Owner': 'ada' } } };
  expect(await queue.ask('forged', 'configure', { schedules })).toMatchObject(
    refusal('schedules.nightly.headers.Trivet-Owner'),
  );
});

test('brief figures name as many queues as one asks for, and add up all others', async () => {
  for (const name of ['brief-a', 'brief-b', 'brief-c'])
    await queue.ask(name, 'enqueue-many', { items: [{ payload: 1 }, { payload: 2, delay: '1h' }] });
  const ask = async (body: object) => (await queue.send('trivet.queue.stats', JSON.stringify(body))).body;
  type Totals = { counts: Record<string, number>; finished: object };
  type Log = { partition: number; bytes: number; bytesMax: number };
  type Brief = { queues: (Totals & { queue: string })[]; others: Totals & { queues: number }; logs: Log[] };
  const all = (await ask({ brief: true })) as Brief;
  const two = (await ask({ brief: true, limit: 2, cursor: 'brief-' })) as Brief;
  expect(all.others.queues).toBe(0);
  expect(two.queues.map(({ queue: name, counts }) => [name, counts['pending'], counts['scheduled']])).toEqual(
    [
      ['brief-a', 1, 1],
      ['brief-b', 1, 1],
    ],
  );
  expect(two.others.queues).toBe(all.queues.length - 2);
  const pending = (brief: Brief) =>
    brief.queues.reduce(
      (sum, { counts }) => sum + (counts['pending'] ?? 0),
      brief.others.counts['pending'] ?? 0,
    );
  expect(pending(two)).toBe(pending(all));
  expect(two.logs.map(({ partition }) => partition)).toEqual(two.logs.map((_, index) => index));
  for (const { bytes, bytesMax } of two.logs) expect(bytesMax).toBeGreaterThan(bytes);
  expect(Math.max(...two.logs.map(({ bytes }) => bytes))).toBeGreaterThan(0);
  expect(await ask({ brief: 'yes' })).toMatchObject(refusal('brief').body);
  const list = await queue.send('trivet.queue.list', JSON.stringify({ brief: true }));
  expect(list).toMatchObject(refusal('brief'));
});
