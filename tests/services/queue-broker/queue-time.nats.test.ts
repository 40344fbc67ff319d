import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Leased, type RunningQueue, type Shown, leased, shown, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
});

afterAll(() => queue?.stop());

test('a delayed item is handed out when it is due, and never before', async () => {
  const delays = [150, 400, 250, 10];
  for (const [n, delay] of delays.entries())
    await queue.ask('delayed', 'enqueue', n, { 'Trivet-Delay': `${delay}ms` });
  const order: unknown[] = [];
  for (const _ of delays) {
    const item = await take('delayed');
    const { enqueuedAt, startedAt = '', payload } = await view('delayed', item);
    expect(Date.parse(startedAt) - Date.parse(enqueuedAt)).toBeGreaterThanOrEqual(
      delays[Number(payload)] ?? 0,
    );
    order.push(payload);
  }
  expect(order).toEqual([3, 0, 2, 1]);
});

test('a failed attempt is retried after its back-off, until the attempts are used up', async () => {
  const values = { 'Trivet-Backoff': 'fixed:120ms', 'Trivet-Max-Attempts': '3' };
  await queue.ask('retried', 'enqueue', 1, values);
  for (const attempt of [1, 2, 3]) {
    const item = await take('retried');
    expect(item.attempt).toBe(attempt);
    const failed = await queue.ask('retried', 'fail', { ...held(item), error: { message: `no ${attempt}` } });
    expect(failed.body).toMatchObject({ state: attempt < 3 ? 'retry' : 'failed', attempt });
    if (attempt < 3) continue;
    const { state, attempts, transitions } = await view('retried', item);
    expect(state).toBe('failed');
    expect(attempts.map((one) => one.error?.message)).toEqual(['no 1', 'no 2', 'no 3']);
    const waits = transitions.filter((one) => one.to === 'pending' && one.why === 'due').map((one) => one.at);
    const fails = transitions.filter((one) => one.why === 'failed').map((one) => one.at);
    for (const [n, at] of waits.entries())
      expect(Date.parse(at) - Date.parse(fails[n] ?? '')).toBeGreaterThanOrEqual(120);
  }
});

test('the worker may choose the delay itself, or forbid another attempt', async () => {
  await queue.ask('told', 'enqueue-many', { items: [{ payload: 1 }, { payload: 2 }] });
  const [a, b] = leased(await queue.ask('told', 'dequeue', { max: 2 }));
  const error = { message: 'no' };
  const later = await queue.ask('told', 'fail', { ...held(a), error, delay: '1h' });
  const { nextAttemptAt } = later.body as { nextAttemptAt: string };
  expect(Date.parse(nextAttemptAt) - Date.now()).toBeGreaterThan(3_500_000);
  const never = await queue.ask('told', 'fail', { ...held(b), error, retry: false });
  expect(never.body).toEqual({ id: b?.id, state: 'failed', attempt: 1 });
});

test('an item that is handed back for a while comes back after it, uncharged, alone or among others', async () => {
  await queue.ask('paused-for', 'enqueue-many', { items: [{ payload: 1 }, { payload: 2, maxAttempts: 1 }] });
  const [a, b] = leased(await queue.ask('paused-for', 'dequeue', { max: 2 }));
  const released = {
    items: [
      { ...held(a), delay: '1h' },
      { ...held(b), delay: '300ms' },
    ],
  };
  const answer = await queue.ask('paused-for', 'release', released);
  expect(answer.body).toEqual({
    items: [
      { id: a?.id, state: 'scheduled' },
      { id: b?.id, state: 'scheduled' },
    ],
  });
  expect((await queue.ask('paused-for', 'release', released)).body).toEqual(answer.body);
  const again = await take('paused-for');
  expect(again).toMatchObject({ id: b?.id, attempt: 1, payload: 2 });
  const { transitions } = await view('paused-for', again);
  const [back, ready] = transitions.slice(-3).map(({ at }) => Date.parse(at));
  expect((ready ?? 0) - (back ?? 0)).toBeGreaterThanOrEqual(300);
  const long = await queue.ask('paused-for', 'release', { ...held(again), delay: '9999d' });
  expect(long).toMatchObject({ status: 400, body: { error: { details: { field: 'delay' } } } });
});

test('an expired lease charges the attempt, and the last one fails the item', async () => {
  await queue.ask('lost', 'enqueue', 1, { 'Trivet-Max-Attempts': '2' });
  const first = await take('lost', { lease: '150ms' });
  const second = await take('lost', { lease: '150ms' });
  expect(second).toMatchObject({ id: first.id, attempt: 2 });
  expect(second.token).toBeGreaterThan(first.token);
  for (const operation of ['complete', 'release'])
    expect(await queue.ask('lost', operation, held(first))).toMatchObject({
      status: 409,
      body: { error: { code: 'lease_lost' } },
    });
  await expect.poll(async () => (await view('lost', first)).state).toBe('failed');
  const { attempts, transitions } = await view('lost', first);
  expect(attempts.map((one) => one.error?.type)).toEqual(['lease_expired', 'lease_expired']);
  expect(transitions.at(-1)).toMatchObject({ from: 'processing', to: 'failed', why: 'lease_expired' });
});

test('an extended lease lasts, an attempt beyond its time-out does not', async () => {
  await queue.ask('extended', 'enqueue', 1, { 'Trivet-Timeout': '600ms', 'Trivet-Max-Attempts': '1' });
  const item = await take('extended', { lease: '200ms' });
  await queue.ask('extended', 'extend', { ...held(item), lease: '1m' });
  await expect.poll(async () => (await view('extended', item)).state).toBe('failed');
  const { transitions, attempts } = await view('extended', item);
  expect(attempts[0]?.error?.type).toBe('timeout');
  const [claimed, ended] = transitions.slice(-2).map((one) => Date.parse(one.at));
  expect((ended ?? 0) - (claimed ?? 0)).toBeGreaterThanOrEqual(600);
});

test('a waiting item that grew too old is never handed out', async () => {
  await queue.ask('old', 'enqueue', 1, { 'Trivet-Expires': '50ms' });
  await queue.ask('old', 'enqueue', 2, { 'Trivet-Expires': '50ms', 'Trivet-Delay': '10s' });
  await expect
    .poll(async () => (await queue.ask('old', 'stats')).body)
    .toMatchObject({ counts: { pending: 0, scheduled: 0, failed: 2 } });
  expect(leased(await queue.ask('old', 'dequeue'))).toEqual([]);
});

async function take(name: string, body: object = {}): Promise<Leased> {
  const [item] = leased(await queue.ask(name, 'dequeue', { wait: '5s', ...body }));
  if (item === undefined) throw new Error(`nothing became ready in ${name}`);
  return item;
}

const view = async (name: string, { id }: Leased): Promise<Shown & { startedAt?: string }> =>
  shown(await queue.ask(name, 'get', { id }));

const held = (item: Leased | undefined) => ({ id: item?.id ?? '', token: item?.token ?? 0 });
