import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import { type RunningQueue, leased, listed, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

const wrongState = { status: 409, body: { error: { code: 'wrong_state' } } };

const fill = (name: string, count: number, options: object = {}) =>
  queue.ask(name, 'enqueue-many', {
    items: Array.from({ length: count }, (_, n) => ({ payload: { n }, ...options })),
  });

test('cancelling ends an item in every state that is not final, and twice is the same wish', async () => {
  await fill('cancelled', 1);
  await fill('cancelled', 1, { delay: '1h' });
  for (const { id } of listed(await queue.ask('cancelled', 'list'))) {
    for (const _ of ['once', 'twice'])
      expect((await queue.ask('cancelled', 'cancel', { id })).body).toEqual({ id, state: 'cancelled' });
  }
  await fill('cancelled', 1);
  const [item] = leased(await queue.ask('cancelled', 'dequeue', { max: 10 }));
  await queue.ask('cancelled', 'complete', { id: item?.id, token: item?.token });
  expect(await queue.ask('cancelled', 'cancel', { id: item?.id })).toMatchObject(wrongState);
});

test('a paused queue takes in and hands nothing out; who waits is served when it is resumed', async () => {
  expect((await queue.ask('paused', 'pause')).body).toEqual({ queue: 'paused', paused: true });
  await fill('paused', 2);
  expect(leased(await queue.ask('paused', 'dequeue'))).toEqual([]);
  const waiting = queue.ask('paused', 'dequeue', { max: 10, wait: '10s' });
  await queue.client.flush();
  expect((await queue.ask('paused', 'stats')).body).toMatchObject({ paused: true, counts: { pending: 2 } });
  expect((await queue.ask('paused', 'resume')).body).toEqual({ queue: 'paused', paused: false });
  expect(leased(await waiting)).toHaveLength(2);
});

test('replay gives failed items all their attempts again, one or many', async () => {
  await fill('replayed', 3, { maxAttempts: 1 });
  const items = leased(await queue.ask('replayed', 'dequeue', { max: 3 }));
  for (const { id, token } of items)
    await queue.ask('replayed', 'fail', { id, token, error: { message: 'no', type: 'Meant' } });
  const id = items[0]?.id;
  expect((await queue.ask('replayed', 'replay', { id })).body).toEqual({ id, state: 'pending' });
  expect(await queue.ask('replayed', 'replay', { id })).toMatchObject(wrongState);
  expect((await queue.ask('replayed', 'replay', { state: 'failed', limit: 1 })).body).toEqual({
    count: 1,
    cursor: expect.any(String) as string,
  });
  expect((await queue.ask('replayed', 'replay', { state: 'failed' })).body).toEqual({ count: 1 });
  const again = leased(await queue.ask('replayed', 'dequeue', { max: 3 }));
  expect(again.map((item) => item.attempt)).toEqual([1, 1, 1]);
  expect(await queue.ask('replayed', 'replay', { id })).toMatchObject(wrongState);
});

test('reprioritize moves a waiting item, and refuses one that runs or has ended', async () => {
  await fill('moved', 2);
  const [, second] = listed(await queue.ask('moved', 'list'));
  const moved = await queue.ask('moved', 'reprioritize', { id: second?.id, priority: 'critical' });
  expect(moved.body).toEqual({ id: second?.id, priority: 'critical' });
  const [item] = leased(await queue.ask('moved', 'dequeue'));
  expect(item).toMatchObject({ id: second?.id, priority: 'critical' });
  const again = { id: item?.id, priority: 'low' };
  expect(await queue.ask('moved', 'reprioritize', again)).toMatchObject(wrongState);
  await queue.ask('moved', 'complete', { id: item?.id, token: item?.token });
  expect(await queue.ask('moved', 'reprioritize', again)).toMatchObject(wrongState);
});

test('a list is read page by page, and neither skips nor repeats while items come and go', async () => {
  await fill('listed', 95);
  const before = listed(await queue.ask('listed', 'list', { limit: 500 })).map((item) => item.id);
  expect(before).toHaveLength(95);
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await queue.ask('listed', 'list', {
      state: 'pending',
      limit: 10,
      ...(cursor === undefined ? {} : { cursor }),
    });
    seen.push(...listed(page).map((item) => item.id));
    ({ cursor } = page.body as { cursor?: string });
    // In between some leave the state, which were read already, and others come.
    const [item] = leased(await queue.ask('listed', 'dequeue'));
    await queue.ask('listed', 'complete', { id: item?.id, token: item?.token });
    if (seen.length < 50) await fill('listed', 1);
  } while (cursor !== undefined);
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen.slice(0, 95)).toEqual(before);
});

test('a list can be narrowed by state, priority, group and text', async () => {
  await queue.ask('narrowed', 'enqueue-many', {
    items: [
      { payload: { name: 'ada' }, group: 'g1', priority: 'high' },
      { payload: { name: 'bob' }, group: 'g1' },
      { payload: { name: 'cleo' }, delay: '1h' },
    ],
  });
  const names = async (query: object) =>
    listed(await queue.ask('narrowed', 'list', query)).map((item) => (item.payload as { name: string }).name);
  expect(await names({ group: 'g1' })).toEqual(['ada', 'bob']);
  expect(await names({ priority: 'high' })).toEqual(['ada']);
  expect(await names({ state: 'scheduled' })).toEqual(['cleo']);
  expect(await names({ q: 'bob' })).toEqual(['bob']);
  expect(await names({ q: 'nobody' })).toEqual([]);
});

test('the figures add up to what the log says', async () => {
  await fill('counted', 10, { priority: 'low' });
  await fill('counted', 2, { delay: '1h' });
  const items = leased(await queue.ask('counted', 'dequeue', { max: 5 }));
  const [a, b, c] = items.map(({ id, token }) => ({ id, token }));
  await queue.ask('counted', 'complete', a);
  await queue.ask('counted', 'fail', { ...b, error: { message: 'no', type: 'Meant' }, retry: false });
  await queue.ask('counted', 'fail', { ...c, error: { message: 'no', type: 'Meant' }, delay: '1h' });
  const { body } = await queue.ask('counted', 'stats');
  expect(body).toMatchObject({
    queue: 'counted',
    paused: false,
    counts: { scheduled: 2, pending: 5, processing: 2, retry: 1, done: 1, failed: 1, cancelled: 0 },
    byPriority: { critical: 0, high: 0, normal: 2, low: 8 },
    leases: 2,
    failuresByType: { Meant: 2 },
  });
  const { counts } = body as { counts: Record<string, number> };
  const { items: logged, faults } = await auditLog(queue.server);
  expect(faults).toEqual([]);
  for (const state of Object.keys(counts)) {
    const inLog = [...logged.values()].filter((item) => item.queue === 'counted' && item.state === state);
    expect([state, inLog.length]).toEqual([state, counts[state]]);
  }
  const all = (await queue.send('trivet.queue.stats', '')).body as { queues: { queue: string }[] };
  expect(all.queues.find((one) => one.queue === 'counted')).toMatchObject({ counts });
  const names = (await queue.send('trivet.queue.list', '')).body as { queues: string[] };
  expect(names.queues.toSorted()).toEqual(all.queues.map((one) => one.queue).toSorted());
});

test('live events tell of every change of state, and never of a payload', async () => {
  const heard: { state: string; events: object[] }[] = [];
  const subscription = queue.client.subscribe('trivet.events.queue.told.*', {
    callback: (_, message) => {
      heard.push({ state: message.subject.split('.').at(-1) ?? '', events: message.json() });
    },
  });
  await queue.client.flush();
  const { id } = shown(await queue.ask('told', 'enqueue', { secret: 'payload' }));
  const [item] = leased(await queue.ask('told', 'dequeue'));
  await queue.ask('told', 'complete', { id, token: item?.token, result: { secret: 'result' } });
  await expect.poll(() => heard.map((one) => one.state)).toEqual(['pending', 'processing', 'done']);
  for (const { events } of heard) {
    expect(events).toMatchObject([{ id, priority: 'normal' }]);
    expect(Object.keys(events[0] ?? {}).toSorted()).toEqual(['at', 'attempt', 'id', 'priority']);
  }
  subscription.unsubscribe();
});
