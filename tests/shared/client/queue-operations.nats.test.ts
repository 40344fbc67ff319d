import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Trivet } from '#shared/client/client.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
let trivet: Trivet;

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
afterAll(() => client.stop());

const stateOf = (queue: string, id: string) => async () => (await trivet.queue(queue).get(id)).state;
const numbers = (length: number) => Array.from({ length }, (_, payload) => ({ payload }));

test('what is logged stands with the item when it is done, in order, long texts as several lines', async () => {
  const queue = trivet.queue('logs');
  const worker = trivet.worker('logs', (_, job) => {
    for (let line = 0; line < 150; line += 1) job.log(`line ${line}`);
    job.log(`two\n${'x'.repeat(1_500)}`);
  });
  const { id } = await queue.add('x');
  await expect.poll(stateOf('logs', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  const { lines, count } = await queue.logs(id, { limit: 1_000 });
  expect(count).toBe(153);
  expect(lines.map((one) => one.line)).toEqual([
    ...Array.from({ length: 150 }, (_, line) => `line ${line}`),
    'two',
    'x'.repeat(1_024),
    'x'.repeat(476),
  ]);
  expect((await queue.logs(id, { after: 150, limit: 1 })).lines[0]).toMatchObject({
    number: 151,
    line: 'two',
    attempt: 1,
  });
});

test('every item is listed once, over as many pages as it takes', async () => {
  const queue = trivet.queue<number>('pages');
  await queue.addMany(numbers(25));
  const seen: unknown[] = [];
  for await (const item of queue.items({ state: 'pending', limit: 10 })) seen.push(item.payload);
  expect(seen).toEqual(numbers(25).map((one) => one.payload));
});

test('a date says when an item is due, in whatever way it is added or edited', async () => {
  const queue = trivet.queue<unknown>('dated');
  const runAt = new Date(Date.now() + 3_600_000);
  const dueAt = async (id: string) => (await queue.get(id)).runAt;
  const { id } = await queue.add(1, { runAt });
  const bytes = await queue.add(Buffer.from([1]), { runAt });
  expect([await dueAt(id), await dueAt(bytes.id)]).toEqual([runAt.toISOString(), runAt.toISOString()]);
  const later = new Date(runAt.getTime() + 1_000);
  await queue.update(id, { runAt: later });
  await queue.update(bytes.id, { runAt: later, payload: Buffer.from([2]) });
  expect([await dueAt(id), await dueAt(bytes.id)]).toEqual([later.toISOString(), later.toISOString()]);
  const never = new Date('never');
  const refused = { code: 'invalid_request', details: { field: 'runAt' } };
  await expect(queue.add(1, { runAt: never })).rejects.toMatchObject(refused);
  await expect(queue.add(Buffer.from([1]), { runAt: never })).rejects.toMatchObject(refused);
  await expect(queue.update(id, { runAt: never, payload: Buffer.from([3]) })).rejects.toMatchObject(refused);
});

test('an item that waits is edited, rescheduled, and replaced or put off by its key', async () => {
  const queue = trivet.queue<{ v: number }>('edited');
  const { id } = await queue.add({ v: 1 }, { key: 'k' });
  expect(await queue.update(id, { payload: { v: 2 }, priority: 'high', delay: '1h' })).toMatchObject({
    state: 'scheduled',
  });
  expect(await queue.get(id)).toMatchObject({ payload: { v: 2 }, priority: 'high' });
  expect(await queue.add({ v: 3 }, { key: 'k', onDuplicate: 'replace' })).toMatchObject({
    id,
    duplicate: true,
    replaced: true,
  });
  expect(await queue.get(id)).toMatchObject({ payload: { v: 3 } });
  expect(await queue.add({ v: 4 }, { key: 'k', onDuplicate: 'debounce', delay: '2h' })).toMatchObject({
    id,
    replaced: true,
  });
  expect(await queue.add({ v: 5 }, { key: 'k' })).toMatchObject({ id, duplicate: true });
  expect((await queue.get(id)).payload).toEqual({ v: 4 });
  await queue.update(id, { delay: 0 });
  const worker = trivet.worker('edited', () => undefined);
  await expect.poll(stateOf('edited', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  await expect(queue.update(id, { priority: 'low' })).rejects.toMatchObject({ code: 'wrong_state' });
});

test('what waits is cancelled by state, what failed is replayed, and all is purged, however much', async () => {
  const queue = trivet.queue<number>('swept');
  await queue.addMany(numbers(1_200));
  expect(await queue.cancelAll('pending', { limit: 50 })).toBe(50);
  expect(await queue.cancelAll('pending')).toBe(1_150);
  await expect(queue.cancelAll('pending', { limit: 0 })).rejects.toMatchObject({
    details: { field: 'limit' },
  });
  expect(await queue.purge({ state: 'cancelled', limit: 500 })).toBe(500);
  expect(await queue.purge({ state: 'cancelled' })).toBe(700);
  const { id } = await queue.add(1, { maxAttempts: 1 });
  let broken = true;
  const worker = trivet.worker('swept', () => {
    if (broken) throw new Error('broken');
  });
  await expect.poll(stateOf('swept', id), { timeout: 10_000 }).toBe('failed');
  broken = false;
  expect(await queue.replayAll()).toBe(1);
  await expect.poll(stateOf('swept', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  expect(await queue.purge({ id })).toBe(1);
  await expect(queue.get(id)).rejects.toMatchObject({ code: 'not_found' });
});

test('settings are changed, described, and taken back to their defaults', async () => {
  const queue = trivet.queue('configured');
  await queue.configure({ maxAttempts: 2, concurrency: { total: 3 } });
  expect((await queue.describe()).settings).toMatchObject({
    maxAttempts: 2,
    concurrency: { total: 3 },
    lease: 30_000,
  });
  const { settings } = await queue.configure({ maxAttempts: null, concurrency: null });
  expect(settings).toMatchObject({ maxAttempts: 5, concurrency: {} });
  await expect(queue.configure({ maxAttempts: 0 })).rejects.toMatchObject({
    code: 'invalid_request',
    details: { field: 'maxAttempts' },
  });
});

test('a flow runs from its leaves to its root, which reads what its children left', async () => {
  const workers = [
    trivet.worker<number, number>('leaves', (n) => n * 10),
    trivet.worker('roots', async (_, job) =>
      (await job.childResults()).map((child) => child.result as number),
    ),
  ];
  const queue = trivet.queue<string, number[]>('roots');
  const flow = await queue.flow({
    payload: 'sum',
    children: [
      { queue: 'leaves', payload: 1 },
      { queue: 'leaves', payload: 2, priority: 'high' },
    ],
  });
  expect(flow).toMatchObject({ state: 'blocked', children: 2 });
  expect((await flow.result({ timeout: '20s' })).toSorted((a, b) => a - b)).toEqual([10, 20]);
  expect((await queue.children(flow.id)).map((child) => child.state)).toEqual(['done', 'done']);
  await Promise.all(workers.map((worker) => worker.stop()));
});
test('a schedule makes items until it is taken off', async () => {
  const queue = trivet.queue<string>('scheduled');
  const { schedules } = await queue.schedule('often', {
    cron: '* * * * * *',
    timeZone: 'Europe/Berlin',
    payload: 'tick',
  });
  expect(schedules['often']).toMatchObject({
    cron: '* * * * * *',
    timeZone: 'Europe/Berlin',
    missed: 'once',
  });
  const ticked = Promise.withResolvers<Readonly<Record<string, string>>>();
  const worker = trivet.worker<string>('scheduled', (_, job) => ticked.resolve(job.headers));
  expect(await ticked.promise).toMatchObject({ 'trivet-schedule': 'often' });
  expect((await queue.unschedule('often')).schedules).toEqual({});
  await worker.stop();
});

test('workers are known by their names, with what they hold', async () => {
  const gate = Promise.withResolvers<void>();
  const worker = trivet.worker('known', () => gate.promise, { name: 'host-7', concurrency: 2 });
  const { id } = await trivet.queue('known').add('x');
  await expect
    .poll(() => trivet.queue('known').workers(), { timeout: 10_000 })
    .toMatchObject([{ worker: 'host-7', items: [{ id, attempt: 1 }] }]);
  gate.resolve();
  await worker.stop();
});
