import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type RunningQueue, leased, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

const everySecond = '* * * * * *';
const never = '0 0 1 1 *';

const configure = (name: string, schedules: object | null) => queue.ask(name, 'configure', { schedules });

const scheduled = async (name: string) =>
  (await queue.ask(name, 'describe')).body as {
    schedules: Record<string, { nextAt?: string; lastAt?: string; slotsSkipped?: number }>;
  };

interface Made {
  readonly id: string;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly enqueuedAt: string;
}

const itemsOf = async (name: string): Promise<readonly Made[]> =>
  ((await queue.ask(name, 'list', { limit: 500 })).body as { items: Made[] }).items;

/** The slots that made items, in whole seconds, in the order of the items. */
const slotsOf = (items: readonly Made[]): readonly number[] =>
  items.map(({ headers }) => Date.parse(headers['trivet-slot'] ?? '') / 1_000);

const untilMade = async (name: string, count: number): Promise<void> => {
  await expect
    .poll(async () => (await itemsOf(name)).length, { timeout: 30_000 })
    .toBeGreaterThanOrEqual(count);
};

const consecutive = (slots: readonly number[]): readonly number[] => slots.map((_, n) => (slots[0] ?? 0) + n);

test('every slot makes one item over kills of the broker, and none is lost where all are asked for', async () => {
  const schedule = { cron: everySecond, missed: 'all', payload: { tick: true }, headers: { own: 'x' } };
  expect((await configure('killed', { tick: schedule })).status).toBe(0);
  for (const many of [2, 5, 8]) {
    await untilMade('killed', many);
    await broker.kill();
    broker = await queue.startBroker();
  }
  await untilMade('killed', 11);
  await configure('killed', { tick: null });
  const items = await itemsOf('killed');
  const slots = slotsOf(items);
  expect(slots).toEqual(consecutive(slots));
  for (const [n, { payload, headers, enqueuedAt }] of items.entries()) {
    expect(payload).toEqual({ tick: true });
    expect(headers).toMatchObject({ own: 'x', 'trivet-schedule': 'tick' });
    expect(Date.parse(enqueuedAt) / 1_000).toBeGreaterThanOrEqual(slots[n] ?? 0);
  }
});

test('a removed schedule makes no item any more, also after a restart', async () => {
  const before = (await itemsOf('killed')).length;
  await configure('witness', { tick: { cron: everySecond } });
  await broker.kill();
  broker = await queue.startBroker();
  await untilMade('witness', 3);
  await configure('witness', null);
  expect((await itemsOf('killed')).length).toBe(before);
  expect((await scheduled('killed')).schedules).toEqual({});
});

test('slots that pass while no broker runs are one item, those of a minute, or all, as it is asked', async () => {
  const policies = ['once', 'skip', 'all'] as const;
  for (const missed of policies) await configure(`missed-${missed}`, { tick: { cron: everySecond, missed } });
  for (const missed of policies) await untilMade(`missed-${missed}`, 2);
  expect(await broker.stop()).toBe(0);
  const stoppedAt = Math.floor(Date.now() / 1_000);
  await expect.poll(() => Date.now() / 1_000, { timeout: 10_000 }).toBeGreaterThan(stoppedAt + 4);
  broker = await queue.startBroker();
  const startedAt = Date.now() / 1_000;
  for (const missed of policies) {
    await expect
      .poll(async () => slotsOf(await itemsOf(`missed-${missed}`)).at(-1), { timeout: 20_000 })
      .toBeGreaterThan(startedAt);
    await configure(`missed-${missed}`, null);
  }
  const [once = [], skip = [], all = []] = await Promise.all(
    policies.map(async (missed) => slotsOf(await itemsOf(`missed-${missed}`))),
  );
  expect(all).toEqual(consecutive(all));
  expect(skip).toEqual(consecutive(skip));
  const gaps = once.flatMap((slot, n) => (n > 0 && slot - (once[n - 1] ?? 0) > 1 ? [n] : []));
  expect(gaps).toHaveLength(1);
  const [gap = 0] = gaps;
  expect((once[gap] ?? 0) - (once[gap - 1] ?? 0)).toBeGreaterThan(3);
  // The newest of those that were missed, and then each one again.
  expect(once[gap]).toBeGreaterThan(stoppedAt + 3);
  expect(once[gap]).toBeLessThanOrEqual(startedAt);
});

test('describe shows what was configured, with the last slot and the next one in its time zone', async () => {
  const daily = {
    cron: '30 9 * * *',
    timeZone: 'Europe/Berlin',
    payload: [1],
    priority: 'high',
    maxAttempts: 2,
    backoff: 'fixed:5s',
    timeout: '1m',
    expires: '1h',
    group: 'g',
    headers: { a: 'b' },
  };
  const { body } = await configure('described', { daily, often: { cron: everySecond } });
  expect(body).toMatchObject({
    queue: 'described',
    schedules: {
      daily: { ...daily, missed: 'once', timeout: 60_000, expires: 3_600_000 },
      often: { cron: everySecond, timeZone: 'UTC', missed: 'once', payload: null },
    },
  });
  await untilMade('described', 1);
  const { schedules } = await scheduled('described');
  const { nextAt = '', lastAt } = schedules['daily'] ?? {};
  const inBerlin = new Intl.DateTimeFormat('de', { timeZone: 'Europe/Berlin', timeStyle: 'short' });
  expect(inBerlin.format(new Date(nextAt))).toBe('09:30');
  expect(lastAt).toBeUndefined();
  const [first] = await itemsOf('described');
  expect(first?.headers['trivet-schedule']).toBe('often');
  const often = schedules['often'];
  expect(Date.parse(often?.lastAt ?? '')).toBeLessThan(Date.parse(often?.nextAt ?? ''));
  await configure('described', { often: null });
  expect(Object.keys((await scheduled('described')).schedules)).toEqual(['daily']);
});

test('what a schedule makes is handed out to who waits, and a changed schedule makes what it says now', async () => {
  await configure('changed', { tick: { cron: everySecond, payload: 'old' } });
  const [old] = leased(await queue.ask('changed', 'dequeue', { wait: '10s' }));
  expect(old?.payload).toBe('old');
  const { lastAt = '' } = (await scheduled('changed')).schedules['tick'] ?? {};
  await configure('changed', { tick: { cron: everySecond, payload: 'new', priority: 'critical' } });
  expect((await scheduled('changed')).schedules['tick']?.lastAt).toBeDefined();
  let next = leased(await queue.ask('changed', 'dequeue', { wait: '10s' }))[0];
  if (next?.payload === 'old') [next] = leased(await queue.ask('changed', 'dequeue', { wait: '10s' }));
  expect(next).toMatchObject({ payload: 'new', priority: 'critical' });
  expect(Date.parse(next?.headers?.['trivet-slot'] ?? '')).toBeGreaterThan(Date.parse(lastAt));
  await configure('changed', { tick: { cron: never } });
  expect((await scheduled('changed')).schedules['tick']?.lastAt).toBeUndefined();
});

test('a paused queue gets its items, a full one does not and counts the slots', async () => {
  await queue.ask('full', 'configure', { maxSize: 2, schedules: { tick: { cron: everySecond } } });
  await queue.ask('full', 'pause');
  await expect
    .poll(async () => (await scheduled('full')).schedules['tick']?.slotsSkipped ?? 0, { timeout: 20_000 })
    .toBeGreaterThanOrEqual(2);
  await configure('full', { tick: { cron: never } });
  expect(await itemsOf('full')).toHaveLength(2);
});

test.each([
  [{ x: { cron: '61 * * * *' } }, 'schedules.x.cron'],
  [{ x: { cron: '@daily' } }, 'schedules.x.cron'],
  [{ x: { cron: '0 0 30 2 *' } }, 'schedules.x.cron'],
  [{ x: { cron: never, timeZone: 'Mars/Olympus' } }, 'schedules.x.timeZone'],
  [{ x: { cron: never, missed: 'twice' } }, 'schedules.x.missed'],
  [{ x: { cron: never, delay: '1s' } }, 'schedules.x.delay'],
  [{ x: { cron: never, onDuplicate: 'keep' } }, 'schedules.x.onDuplicate'],
  [{ x: { cron: never, timeout: '0s' } }, 'schedules.x.timeout'],
  [{ x: { cron: never, backoff: 'exponential:2h:1h' } }, 'schedules.x.backoff'],
  [
    { x: { cron: never, headers: Object.fromEntries(Array.from({ length: 31 }, (_, n) => [`h${n}`, ''])) } },
    'schedules.x.headers',
  ],
  [{ '\ud800': { cron: never } }, 'schedules.\ud800'],
])(
  'a bad schedule is refused by its field, and nothing of the request holds (%j)',
  async (schedules, field) => {
    const reply = await queue.ask('refused', 'configure', { lease: '7m', schedules });
    expect(reply.status).toBe(400);
    const { error } = reply.body as { error: { message: string; details: { field: string } } };
    expect(error.details.field).toBe(field);
    expect(error.message.startsWith(field)).toBe(true);
    expect((await queue.ask('refused', 'describe')).body).toMatchObject({
      settings: { lease: 30_000 },
      schedules: {},
    });
  },
);

test('a queue has schedules up to its limits', async () => {
  const many = (from: number, count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`s${from + n}`, { cron: never }]));
  expect((await configure('many', many(0, 100))).status).toBe(0);
  expect(await configure('many', many(100, 1))).toMatchObject({
    status: 400,
    body: { error: { details: { field: 'schedules' } } },
  });
  expect((await configure('many', { ...many(100, 1), s0: null })).status).toBe(0);
  const payload = 'x'.repeat(1_048_576);
  expect(await configure('large', { x: { cron: never, payload } })).toMatchObject({
    status: 413,
    body: { error: { code: 'payload_too_large', details: { field: 'schedules' } } },
  });
});

test('the log of all this is sound', async () => {
  const { faults, items } = await auditLog(queue.server);
  expect(faults).toEqual([]);
  expect(items.size).toBeGreaterThan(20);
});
