import { afterAll, beforeAll, expect, test } from 'vitest';
import { claimsInLog, fullestWindow } from './claims-in-log.ts';
import { type Leased, type RunningQueue, leased, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

const configure = async (on: RunningQueue, name: string, settings: object) =>
  expect(await on.ask(name, 'configure', settings)).toMatchObject({ status: 0 });

/** Enqueues `count` items for each of these groups, by turns of a hundred. */
async function fill(on: RunningQueue, name: string, groups: Readonly<Record<string, number>>): Promise<void> {
  for (const [group, count] of Object.entries(groups)) {
    for (let from = 0; from < count; from += 500) {
      const items = Array.from({ length: Math.min(500, count - from) }, () => ({
        payload: { group },
        ...(group === 'none' ? {} : { group }),
      }));
      expect((await on.ask(name, 'enqueue-many', { items })).status).toBe(0);
    }
  }
}

const take = async (on: RunningQueue, name: string, max: number, wait = '0s') =>
  leased(await on.ask(name, 'dequeue', { max, wait }));

const complete = (on: RunningQueue, name: string, items: readonly Leased[]) =>
  on.ask(name, 'complete', { items: items.map(({ id, token }) => ({ id, token })) });

const groupsOf = (items: readonly Leased[]) => items.map((item) => (item.payload as { group: string }).group);

/** Workers that wait for items and complete them until `count` are done. @returns the groups, in order */
async function workOff(on: RunningQueue, name: string, count: number, workers: number): Promise<string[]> {
  const groups: string[] = [];
  const work = async (): Promise<void> => {
    while (groups.length < count) {
      const items = await take(on, name, 3, '500ms');
      groups.push(...groupsOf(items));
      if (items.length > 0) await complete(on, name, items);
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return groups;
}

test('groups get equal shares while they have items, however many those are', async () => {
  await fill(queue, 'fair', { big: 1_000, small: 10, tiny: 10 });
  const groups = groupsOf(await take(queue, 'fair', 40));
  const shares = ['big', 'small', 'tiny'].map(
    (group) => groups.slice(0, 30).filter((g) => g === group).length,
  );
  expect(shares).toEqual([10, 10, 10]);
  expect(new Set(groups.slice(30))).toEqual(new Set(['big']));
});

test('no group has more leases than it may, and the groups do not hold each other up', async () => {
  await configure(queue, 'by-group', { concurrency: { perGroup: 2 } });
  await fill(queue, 'by-group', { a: 60, b: 60, none: 20 });
  const first = await take(queue, 'by-group', 100);
  const held = ['a', 'b', 'none'].map((group) => groupsOf(first).filter((one) => one === group).length);
  expect(held).toEqual([2, 2, 20]);
  await complete(queue, 'by-group', first);
  await workOff(queue, 'by-group', 116, 6);
  const claims = await claimsInLog(queue.server, 'by-group');
  expect(claims).toHaveLength(140);
  const grouped = claims.filter(({ group }) => group !== undefined);
  expect(Math.max(...grouped.map(({ groupLeases }) => groupLeases))).toBe(2);
});

test('no window of a group holds more claims than it may, and what is handed back has counted', async () => {
  const rate = { count: 3, per: '400ms' };
  await configure(queue, 'rated-groups', { rateLimit: { perGroup: rate } });
  await fill(queue, 'rated-groups', { a: 9, b: 9, none: 9 });
  const [held] = await take(queue, 'rated-groups', 1);
  await queue.ask('rated-groups', 'release', { id: held?.id, token: held?.token });
  await workOff(queue, 'rated-groups', 27, 3);
  const claims = await claimsInLog(queue.server, 'rated-groups');
  expect(claims).toHaveLength(28);
  for (const group of ['a', 'b'])
    expect(
      fullestWindow(
        claims.filter((claim) => claim.group === group),
        400,
      ),
    ).toBe(3);
});

test('a queue has no more leases than it may; a dequeue that waits is served when one ends', async () => {
  await configure(queue, 'narrow', { concurrency: { total: 2 } });
  await fill(queue, 'narrow', { none: 4 });
  const held = await take(queue, 'narrow', 10);
  expect(held).toHaveLength(2);
  const waiting = take(queue, 'narrow', 10, '20s');
  await queue.client.flush();
  await complete(queue, 'narrow', held.slice(0, 1));
  expect(await waiting).toHaveLength(1);
  const further = take(queue, 'narrow', 10, '20s');
  await queue.client.flush();
  await configure(queue, 'narrow', { concurrency: { total: 3 } });
  expect(await further).toHaveLength(1);
});

test('a dequeue that waits is served when its window moves on, in the queue and in a group', async () => {
  await configure(queue, 'moving', { rateLimit: { total: { count: 2, per: '700ms' } } });
  await configure(queue, 'moving-groups', { rateLimit: { perGroup: { count: 2, per: '700ms' } } });
  for (const name of ['moving', 'moving-groups']) {
    await fill(queue, name, { a: 4 });
    expect(await take(queue, name, 10)).toHaveLength(2);
    expect(await take(queue, name, 10)).toHaveLength(0);
    expect(await take(queue, name, 10, '20s')).toHaveLength(2);
    const [first, , third] = await claimsInLog(queue.server, name);
    const passed = (third?.at ?? 0) - (first?.at ?? 0);
    expect(passed).toBeGreaterThanOrEqual(700);
  }
});

test('a full queue refuses one item, and a batch as a whole; duplicates do not count, publishes are let in', async () => {
  const full = (limit: string) => ({
    status: 429,
    body: { error: { code: 'queue_full', details: { limit } } },
  });
  await configure(queue, 'full', { maxSize: 3 });
  await queue.ask('full', 'enqueue', 1, { 'Nats-Msg-Id': 'k1' });
  const item = (key: string) => ({ payload: 1, key });
  const tooMany = { items: ['k2', 'k3', 'k4'].map(item) };
  expect(await queue.ask('full', 'enqueue-many', tooMany)).toMatchObject(full('maxSize'));
  const counts = async () => (await queue.ask('full', 'stats')).body;
  expect(await counts()).toMatchObject({ counts: { pending: 1 } });
  const fits = { items: [...['k1', 'k2', 'k2', 'k3'].map(item), { payload: 1, priority: 'none' }] };
  const reply = await queue.ask('full', 'enqueue-many', fits);
  const { items } = reply.body as { items: { duplicate?: boolean; error?: { code: string } }[] };
  expect(items.map(({ duplicate, error }) => duplicate ?? error?.code)).toEqual([
    true,
    false,
    true,
    false,
    'invalid_request',
  ]);
  expect(await queue.ask('full', 'enqueue', 1)).toMatchObject(full('maxSize'));
  expect(await queue.ask('full', 'enqueue', 1, { 'Nats-Msg-Id': 'k2' })).toMatchObject({ status: 0 });
  await queue.publish('full', '1');
  await expect.poll(counts, { timeout: 10_000 }).toMatchObject({ counts: { pending: 4 } });
  const [held] = await take(queue, 'full', 1);
  expect(await queue.ask('full', 'release', { id: held?.id, token: held?.token })).toMatchObject({
    status: 0,
  });
  await complete(queue, 'full', await take(queue, 'full', 2));
  expect(await queue.ask('full', 'enqueue', 1)).toMatchObject({ status: 0 });

  await configure(queue, 'full-bytes', { maxBytes: 10 });
  expect(await queue.ask('full-bytes', 'enqueue', 12_345)).toMatchObject({ status: 0 });
  expect(await queue.ask('full-bytes', 'enqueue', 1_234_567)).toMatchObject(full('maxBytes'));
  const batch = { items: [{ payload: 1 }, { payload: 1_234_567 }] };
  expect(await queue.ask('full-bytes', 'enqueue-many', batch)).toMatchObject(full('maxBytes'));
  expect(await queue.ask('full-bytes', 'enqueue', 12_345)).toMatchObject({ status: 0 });
});

test('a paused queue with a limit goes on ripening, and hands out once it is resumed', async () => {
  await configure(queue, 'ripening', { concurrency: { total: 1 } });
  await queue.ask('ripening', 'pause');
  await queue.ask('ripening', 'enqueue', 1, { 'Trivet-Delay': '100ms' });
  const counts = async () => (await queue.ask('ripening', 'stats')).body;
  await expect.poll(counts, { timeout: 10_000 }).toMatchObject({ counts: { scheduled: 0, pending: 1 } });
  expect(await take(queue, 'ripening', 1)).toHaveLength(0);
  const waiting = take(queue, 'ripening', 1, '20s');
  await queue.client.flush();
  await queue.ask('ripening', 'resume');
  expect(await waiting).toHaveLength(1);
});

test('by weight, a real queue hands out eight, four, two and one of fifteen', async () => {
  await configure(queue, 'weighted', { ordering: 'weighted' });
  const words = ['low', 'normal', 'high', 'critical'];
  const items = Array.from({ length: 100 }, (_, n) => ({ payload: n, priority: words[n % 4] }));
  await queue.ask('weighted', 'enqueue-many', { items });
  const taken = await take(queue, 'weighted', 30);
  const shares = words.map((word) => taken.filter(({ priority }) => priority === word).length);
  expect(shares).toEqual([2, 4, 8, 16]);
});

test('a shorter retention sweeps at once, ten thousand items in parts', { timeout: 60_000 }, async () => {
  await fill(queue, 'swept', { none: 10_000 });
  for (let done = 0; done < 10_000; done += 1_000) {
    const items = await take(queue, 'swept', 1_000);
    await complete(queue, 'swept', items);
  }
  await configure(queue, 'swept', { retention: { done: { count: 7 } } });
  const counts = async () => (await queue.ask('swept', 'stats')).body;
  await expect.poll(counts, { timeout: 10_000 }).toMatchObject({ counts: { done: 7 } });
});

test(
  'limits hold over brokers that are killed: no window and no moment has more than it may',
  { timeout: 120_000 },
  async () => {
    const own = await startQueue();
    try {
      let broker = await own.startBroker();
      await configure(own, 'torn', {
        concurrency: { total: 6 },
        // Longer than a broker takes to come back: what was claimed before it was killed counts after it.
        rateLimit: { total: { count: 20, per: '7s' }, perGroup: { count: 8, per: '7s' } },
      });
      await fill(own, 'torn', { a: 60, b: 60, none: 60 });
      // Beyond two windows, however fast a broker is back.
      for (const until = Date.now() + 15_000; Date.now() < until;) {
        for (let tries = 0; tries < 6; tries += 1)
          await complete(own, 'torn', await take(own, 'torn', 5, '200ms'));
        await broker.kill();
        broker = await own.startBroker();
      }
      const claims = await claimsInLog(own.server, 'torn');
      expect(claims.length).toBeGreaterThanOrEqual(40);
      expect(fullestWindow(claims, 7_000)).toBe(20);
      expect(
        fullestWindow(
          claims.filter(({ group }) => group === 'a'),
          7_000,
        ),
      ).toBeLessThanOrEqual(8);
      expect(Math.max(...claims.map(({ leases }) => leases))).toBeLessThanOrEqual(6);
    } finally {
      await own.stop();
    }
  },
);
