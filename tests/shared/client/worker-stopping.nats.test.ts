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

const counts = async (queue: string) => (await trivet.queue(queue).stats()).counts;
const numbers = (length: number) => Array.from({ length }, (_, payload) => ({ payload }));

/** A handler that waits at a gate, and how many have come to it. */
function gated() {
  const gate = Promise.withResolvers<void>();
  let waiting = 0;
  const handler = async () => {
    waiting += 1;
    await gate.promise;
  };
  return { handler, open: gate.resolve, waiting: () => waiting };
}

test('a paused worker takes nothing, its running handlers go on, and it takes again when resumed', async () => {
  const { handler, open, waiting } = gated();
  const worker = trivet.worker('paused', handler, { concurrency: 2 });
  await trivet.queue('paused').addMany(numbers(6));
  await expect.poll(waiting, { timeout: 10_000 }).toBe(2);
  worker.pause();
  open();
  await expect
    .poll(async () => counts('paused'), { timeout: 10_000 })
    .toMatchObject({ done: 2, pending: 4, processing: 0 });
  worker.resume();
  await expect.poll(async () => (await counts('paused')).done, { timeout: 10_000 }).toBe(6);
  await worker.stop();
});

test('after its timeout a stop aborts the handlers: what throws goes back uncharged, what returns is done', async () => {
  const started: string[] = [];
  const worker = trivet.worker<string>('interrupted', async (payload, job) => {
    started.push(payload);
    await new Promise((resolve) => {
      job.signal.addEventListener('abort', resolve);
    });
    if (payload === 'throws') throw job.signal.reason;
  });
  const queue = trivet.queue<string>('interrupted');
  const [throws, returns] = await Promise.all([queue.add('throws'), queue.add('returns')]);
  await expect.poll(() => started.length, { timeout: 10_000 }).toBe(2);
  await worker.stop({ timeout: '50ms' });
  expect(await queue.get(throws.id)).toMatchObject({ state: 'pending', attempt: 0 });
  expect(await queue.get(returns.id)).toMatchObject({ state: 'done', attempt: 1 });
});

test('a handler that does not hear its signal has failed, and is left to itself', async () => {
  const { handler, open, waiting } = gated();
  const worker = trivet.worker('deaf', handler);
  const { id } = await trivet.queue('deaf').add('x', { backoff: 'fixed:1h' });
  await expect.poll(waiting, { timeout: 10_000 }).toBe(1);
  await worker.stop({ timeout: 0 });
  expect(await trivet.queue('deaf').get(id)).toMatchObject({
    state: 'retry',
    attempts: [{ attempt: 1, error: { type: 'worker_stopped' } }],
  });
  open();
});

test('stopping twice is stopping once, and a stop before the first item is a stop', async () => {
  const worker = trivet.worker('unused', () => undefined);
  const first = worker.stop();
  expect(worker.stop({ timeout: '1s' })).toBe(first);
  await first;
  await trivet.queue('unused').add('x');
  expect(await counts('unused')).toMatchObject({ pending: 1 });
});

test('a worker that is fast holds items ahead; one whose handlers stand still hands them back', async () => {
  const { handler, open } = gated();
  let quick = 0;
  const worker = trivet.worker<number>(
    'ahead',
    async (payload) => {
      if (payload < 2_000) quick += 1;
      else await handler();
    },
    { concurrency: 10, prefetch: 50 },
  );
  await trivet.queue<number>('ahead').addMany(numbers(3_000));
  await expect.poll(() => quick, { timeout: 15_000 }).toBe(2_000);
  // Ten handlers stand; what was held ahead of them goes back within a second, uncharged.
  await expect
    .poll(async () => counts('ahead'), { timeout: 10_000 })
    .toMatchObject({ processing: 10, pending: 990 });
  open();
  await expect.poll(async () => (await counts('ahead')).done, { timeout: 15_000 }).toBe(3_000);
  await worker.stop();
  for await (const item of trivet.queue('ahead').items({ limit: 500 })) expect(item.attempt).toBe(1);
});

test('something more urgent takes the place of what is held and has not begun', async () => {
  const queue = trivet.queue<number>('urgent');
  const order: number[] = [];
  let held = 0;
  const gate = Promise.withResolvers<void>();
  const worker = trivet.worker<number>(
    'urgent',
    async (payload) => {
      order.push(payload);
      if (payload === 600) await gate.promise;
    },
    { concurrency: 1, prefetch: 100 },
  );
  await queue.addMany(
    Array.from({ length: 900 }, (_, payload) => ({ payload, options: { priority: 'low' as const } })),
  );
  await expect.poll(() => order.length, { timeout: 15_000 }).toBe(601);
  held = (await counts('urgent')).processing - 1;
  const { id } = await queue.add(-1, { priority: 'critical' });
  if (held > 0) {
    // It is leased although no handler is free, and one less of the others is.
    await expect.poll(async () => (await queue.get(id)).state, { timeout: 5_000 }).toBe('processing');
  }
  gate.resolve();
  await expect.poll(() => order.length, { timeout: 15_000 }).toBe(901);
  await worker.stop();
  expect(order[601]).toBe(-1);
  expect(new Set(order).size).toBe(901);
});
