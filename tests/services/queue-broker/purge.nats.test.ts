import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { type RunningQueue, leased, listed, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeAll(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterAll(() => queue?.stop());

const fill = (name: string, count: number, options: object = {}) =>
  queue.ask(name, 'enqueue-many', {
    items: Array.from({ length: count }, (_, n) => ({ payload: { n }, ...options })),
  });

const counts = async (name: string) =>
  ((await queue.ask(name, 'stats')).body as { counts: Record<string, number> }).counts;

const killBroker = async () => {
  await broker.kill();
  broker = await queue.startBroker();
};

test('failed items are the dead letters: listed with their errors, replayed one or many, purged', async () => {
  await fill('dead', 5, { maxAttempts: 1, key: undefined });
  const items = leased(await queue.ask('dead', 'dequeue', { max: 5 }));
  const error = { message: 'no such address', type: 'AddressError' };
  await queue.ask('dead', 'fail', { items: items.map(({ id, token }) => ({ id, token, error })) });
  const dead = listed(await queue.ask('dead', 'list', { state: 'failed' }));
  expect(dead.map(({ attempts }) => attempts.at(-1)?.error)).toEqual(items.map(() => error));
  await queue.ask('dead', 'replay', { id: dead[0]?.id });
  expect((await queue.ask('dead', 'replay', { state: 'failed', limit: 2 })).body).toMatchObject({ count: 2 });
  expect(await counts('dead')).toMatchObject({ failed: 2, pending: 3 });
  const again = leased(await queue.ask('dead', 'dequeue', { max: 5 }));
  expect(again.map(({ id, attempt }) => [id, attempt])).toEqual(dead.slice(0, 3).map(({ id }) => [id, 1]));
  const purged = await queue.ask('dead', 'purge', { state: 'failed', limit: 1 });
  expect(purged.body).toEqual({ count: 1, more: true });
  expect((await queue.ask('dead', 'purge', { state: 'failed' })).body).toEqual({ count: 1, more: false });
  expect(await counts('dead')).toMatchObject({ failed: 0, processing: 3 });
  for (const { id } of dead.slice(3))
    expect(await queue.ask('dead', 'get', { id })).toMatchObject({ status: 404 });
});

test('what was purged stays gone when the broker is killed, and its key is free', async () => {
  const key = { 'Nats-Msg-Id': 'k' };
  const large = 'x'.repeat(10_000);
  const { id } = (await queue.ask('gone', 'enqueue', large, key)).body as { id: string };
  await fill('gone', 3);
  expect((await queue.ask('gone', 'purge', { id })).body).toEqual({ count: 1, more: false });
  await killBroker();
  expect(await queue.ask('gone', 'get', { id })).toMatchObject({ status: 404 });
  expect(await counts('gone')).toMatchObject({ pending: 3 });
  expect((await queue.ask('gone', 'stats')).body).toMatchObject({ bytes: 3 * '{"n":0}'.length });
  expect((await queue.ask('gone', 'enqueue', 1, key)).body).toMatchObject({ duplicate: false });
});

test('a whole queue is purged with what is worked on and what was set, and nothing of it comes back', async () => {
  await fill('whole', 20, { delay: '1h' });
  await fill('whole', 20);
  const [item] = leased(await queue.ask('whole', 'dequeue', { max: 5 }));
  await queue.ask('whole', 'pause');
  await queue.ask('whole', 'configure', { maxAttempts: 9, rateLimit: { total: { count: 9, per: '1h' } } });
  expect((await queue.ask('whole', 'purge', { all: true, limit: 30 })).body).toEqual({
    count: 30,
    more: true,
  });
  expect((await queue.ask('whole', 'stats')).body).toMatchObject({ paused: true });
  expect((await queue.ask('whole', 'purge', { all: true })).body).toEqual({ count: 10, more: false });
  const lost = { id: item?.id, token: item?.token };
  expect(await queue.ask('whole', 'complete', lost)).toMatchObject({ status: 404 });
  for (const restart of [false, true]) {
    if (restart) await killBroker();
    const { queues } = (await queue.send('trivet.queue.list', '')).body as { queues: string[] };
    expect(queues).not.toContain('whole');
    expect((await queue.ask('whole', 'stats')).body).toMatchObject({
      paused: false,
      bytes: 0,
      rates: { '15m': { enqueued: 0, started: 0 } },
      failuresByType: {},
    });
  }
  expect((await queue.ask('whole', 'describe')).body).toMatchObject({
    settings: { maxAttempts: 5, rateLimit: {} },
  });
  await fill('whole', 20);
  expect(leased(await queue.ask('whole', 'dequeue', { max: 20 }))).toHaveLength(20);
  expect((await auditLog(queue.server)).faults).toEqual([]);
});

test('ten thousand items are purged by one request, and waiting ones are cancelled by state', async () => {
  for (let batch = 0; batch < 11; batch += 1) await fill('many', 1_000, { priority: 'low' });
  expect((await queue.ask('many', 'cancel', { state: 'pending' })).body).toEqual({ count: 1_000 });
  expect((await queue.ask('many', 'cancel', { state: 'pending', limit: 7 })).body).toEqual({ count: 7 });
  expect((await queue.ask('many', 'purge', { state: 'pending' })).body).toEqual({
    count: 9_993,
    more: false,
  });
  expect(await counts('many')).toMatchObject({ pending: 0, cancelled: 1_007 });
});
