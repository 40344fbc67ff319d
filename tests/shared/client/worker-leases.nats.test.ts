import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Worker as Thread } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { BrokerWatch } from '#shared/client/broker-watch.ts';
import type { Trivet } from '#shared/client/client.ts';
import { LeaseTable } from '#shared/client/lease-table.ts';
import { Worker } from '#shared/client/worker.ts';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
let trivet: Trivet;
const children: ChildProcess[] = [];

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
afterEach(async () => {
  await Promise.all(
    children.splice(0).map(async (child) => {
      const exited = once(child, 'exit');
      child.send('close');
      await exited;
    }),
  );
});
afterAll(() => client.stop());

/** As long as a worker needs to ask for its second item. */
const secondMs = 300;

/** A worker in another process, whose handlers block it for `blockMs` after `beforeMs`, and what it tells. */
function startBlockingWorker(queue: string, blockMs: number, lease = '1s', beforeMs = secondMs) {
  const { url } = client.server;
  const child = fork(
    'tests/shared/client/blocking-worker.ts',
    [url, queue, String(blockMs), lease, String(beforeMs)],
    { execArgv: [] },
  );
  children.push(child);
  const told: object[] = [];
  child.on('message', (event: object) => told.push(event));
  return told;
}

const has = (told: readonly object[], event: object) => () =>
  told.some((one) => Object.entries(event).every(([name, value]) => one[name as keyof object] === value));

test('a handler that blocks its thread for several leases keeps its item, and its note arrives meanwhile', async () => {
  const queue = trivet.queue('blocked');
  const told = startBlockingWorker('blocked', 5_000);
  const { id } = await queue.add('a');
  await expect.poll(has(told, { blocks: 'a' }), { timeout: 15_000 }).toBe(true);
  const taken: unknown[] = [];
  const other = trivet.worker('blocked', (payload) => void taken.push(payload));
  await expect.poll(async () => (await queue.get(id)).progress, { timeout: 3_000 }).toEqual({ begun: 'a' });
  // The note is there, and the handler still runs.
  expect(has(told, { ended: 'a' })()).toBe(false);
  await expect.poll(has(told, { ended: 'a' }), { timeout: 15_000 }).toBe(true);
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 5_000 }).toBe('done');
  await other.stop();
  expect(await queue.get(id)).toMatchObject({ attempt: 1, attempts: [{ worker: 'blocking' }] });
  expect(taken).toEqual([]);
});

test('a handler that blocks its thread at once, while the thread that renews leases is still starting, keeps its item', async () => {
  const queue = trivet.queue('blocked-at-once');
  const { id } = await queue.add('a');
  const told = startBlockingWorker('blocked-at-once', 13_000, '10s', 0);
  await expect.poll(has(told, { blocks: 'a' }), { timeout: 15_000 }).toBe(true);
  await expect.poll(has(told, { ended: 'a' }), { timeout: 15_000 }).toBe(true);
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 5_000 }).toBe('done');
  expect(await queue.get(id)).toMatchObject({ attempt: 1 });
});

test('a worker whose leases nobody renews takes nothing once that is clear', async () => {
  const queue = trivet.queue('unkept');
  const handled: unknown[] = [];
  const keeper = {
    ready: new Promise<void>(() => undefined),
    open: ({ slots }: { slots: number }) => ({
      table: new LeaseTable(slots),
      note: () => undefined,
      close: () => undefined,
    }),
    end: () => Promise.resolve(),
  };
  const { nats, subjects } = trivet;
  const brokers = new BrokerWatch(nats, subjects);
  const parts = { nats, subjects, keeper, clock: systemClock, brokers };
  const worker = new Worker(parts, 'unkept', (payload) => void handled.push(payload), { lease: '10s' });
  await queue.add('in time');
  await expect.poll(() => handled, { timeout: 3_000 }).toEqual(['in time']);
  await sleep(systemClock, 3_500);
  const { id } = await queue.add('too late');
  // The question that was under way still brings it, and it goes back uncharged.
  await expect.poll(async () => await queue.get(id), { timeout: 5_000 }).toMatchObject({ attempt: 0 });
  await sleep(systemClock, 300);
  expect(await queue.get(id)).toMatchObject({ state: 'pending', attempt: 0 });
  expect(handled).toEqual(['in time']);
  await worker.stop();
});

test('what was handed to a blocked worker and went to another one meanwhile is not begun twice', async () => {
  const queue = trivet.queue('unread');
  const told = startBlockingWorker('unread', 5_000);
  await queue.add('a');
  await expect.poll(has(told, { blocks: 'a' }), { timeout: 15_000 }).toBe(true);
  // The blocked worker still waits for a second item, so it is given this one, and cannot read that.
  const { id } = await queue.add('b');
  const other = trivet.worker('unread', () => 'by the other');
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 10_000 }).toBe('done');
  await expect.poll(has(told, { ended: 'a' }), { timeout: 15_000 }).toBe(true);
  const last = await queue.add('c');
  await expect.poll(async () => (await queue.get(last.id)).state, { timeout: 15_000 }).toBe('done');
  await other.stop();
  expect(has(told, { began: 'b' })()).toBe(false);
  expect(await queue.get(id)).toMatchObject({ attempt: 2, result: 'by the other' });
});

test('an item that is cancelled elsewhere aborts its handler at once, long before its lease is renewed', async () => {
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<unknown>();
  const worker = trivet.worker('cancelled', async (_, job) => {
    started.resolve();
    job.signal.addEventListener('abort', () => aborted.resolve(job.signal.reason));
    await aborted.promise;
  });
  const elsewhere = (await client.another()).queue('cancelled');
  const { id } = await elsewhere.add('x');
  await started.promise;
  await elsewhere.cancel(id);
  // The lease is 30 s, its first renewal after 5: this test would run into that only if the event were missed.
  expect(await aborted.promise).toMatchObject({ message: 'the item was cancelled' });
  await worker.stop();
  expect(await elsewhere.get(id)).toMatchObject({ state: 'cancelled' });
});

test.each([
  ['throws', () => Promise.reject(new Error('told to stop'))],
  ['returns', () => 'half of it'],
])('that a handler %s after its item was cancelled is no fault of the worker', async (how, end) => {
  const errors: Error[] = [];
  const started = Promise.withResolvers<void>();
  const name = `unwanted-${how}`;
  const onError = (error: Error) => errors.push(error);
  const worker = trivet.worker(
    name,
    async (_, job) => {
      started.resolve();
      await new Promise((resolve) => {
        job.signal.addEventListener('abort', resolve);
      });
      return end();
    },
    { onError },
  );
  const queue = trivet.queue(name);
  const { id } = await queue.add('x');
  await started.promise;
  await queue.cancel(id);
  await worker.stop();
  expect(errors).toEqual([]);
  expect(await queue.get(id)).toMatchObject({ state: 'cancelled' });
});

test('a signal that is asked for after the item was cancelled is aborted already', async () => {
  const started = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const seen = Promise.withResolvers<boolean>();
  const worker = trivet.worker('late-signal', async (_, job) => {
    started.resolve();
    await gate.promise;
    seen.resolve(job.signal.aborted);
  });
  const queue = trivet.queue('late-signal');
  const cancelled = queue.events({ states: ['cancelled'] });
  const { id } = await queue.add('x');
  await started.promise;
  await queue.cancel(id);
  await cancelled.next();
  gate.resolve();
  expect(await seen.promise).toBe(true);
  await worker.stop();
});

test('a lost lease aborts the handler and is reported, and its outcome changes nothing', async () => {
  const errors: Error[] = [];
  const started = Promise.withResolvers<number>();
  const aborted = Promise.withResolvers<unknown>();
  let runs = 0;
  const worker = trivet.worker(
    'lost',
    async (_, job) => {
      runs += 1;
      if (runs > 1) return 'second';
      started.resolve(job.token);
      await new Promise((resolve) => {
        job.signal.addEventListener('abort', resolve);
      });
      aborted.resolve(job.signal.reason);
      return 'first';
    },
    { lease: '2s', onError: (error) => errors.push(error) },
  );
  const queue = trivet.queue('lost');
  const { id } = await queue.add('x');
  const token = await started.promise;
  // Somebody else hands the item back with this worker's own token: it is leased anew, with another one.
  const subject = trivet.subjects.queue('lost', 'release');
  await trivet.nats.connection.request(subject, JSON.stringify({ id, token }));
  expect(await aborted.promise).toMatchObject({ code: 'lease_lost' });
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 10_000 }).toBe('done');
  await worker.stop();
  expect(await queue.get(id)).toMatchObject({ result: 'second' });
  expect(errors).toContainEqual(expect.objectContaining({ code: 'lease_lost' }));
});

test('a thread that dies is begun anew, and keeps the leases that the first one kept', async () => {
  const threads: Thread[] = [];
  process.on('worker', (thread: Thread) => threads.push(thread));
  // A client of its own, whose thread begins with its first worker.
  const alone = await client.another();
  const errors: string[] = [];
  const gate = Promise.withResolvers<void>();
  const worker = alone.worker('orphaned', () => gate.promise, {
    lease: '3s',
    onError: (error) => errors.push(error.message),
  });
  const queue = alone.queue('orphaned');
  const { id } = await queue.add('x');
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 10_000 }).toBe('processing');
  expect(threads).toHaveLength(1);
  await threads[0]?.terminate();
  await expect.poll(() => threads.length, { timeout: 5_000 }).toBe(2);
  // Two leases later nobody else has had it.
  const deadline = Date.now() + 6_000;
  await expect.poll(() => Date.now() > deadline, { timeout: 10_000 }).toBe(true);
  expect(await queue.get(id)).toMatchObject({ state: 'processing', attempt: 1 });
  gate.resolve();
  await worker.stop();
  expect(await queue.get(id)).toMatchObject({ state: 'done', attempt: 1 });
  expect(errors).toContainEqual(expect.stringContaining('the thread that renews leases has failed'));
});

test('progress notes are coalesced, and the last one is kept when the handler ends at once', async () => {
  const queue = trivet.queue('progress');
  const before = trivet.nats.connection.stats().outMsgs;
  const worker = trivet.worker('progress', (_, job) => {
    for (let done = 0; done <= 10_000; done += 1) job.progress({ done });
  });
  const { id } = await queue.add('x');
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 10_000 }).toBe('done');
  await worker.stop();
  expect((await queue.get(id)).progress).toEqual({ done: 10_000 });
  expect(trivet.nats.connection.stats().outMsgs - before).toBeLessThan(200);
});

test('a note that cannot be sent is refused where it is made', async () => {
  const codes: unknown[] = [];
  const worker = trivet.worker('bad-notes', (_, job) => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    for (const note of ['x'.repeat(9_000), cycle]) {
      try {
        job.progress(note);
      } catch (error) {
        codes.push((error as { code: string }).code);
      }
    }
  });
  const { id } = await trivet.queue('bad-notes').add('x');
  await expect
    .poll(async () => (await trivet.queue('bad-notes').get(id)).state, { timeout: 10_000 })
    .toBe('done');
  await worker.stop();
  expect(codes).toEqual(['payload_too_large', 'invalid_request']);
});

test('a handler that runs into its timeout hears of it at once, before the next attempt is through', async () => {
  const queue = trivet.queue('overdue');
  const heardMs: number[] = [];
  trivet.worker(
    'overdue',
    async (_payload, { signal }) => {
      const startedMs = performance.now();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      heardMs.push(performance.now() - startedMs);
    },
    { lease: '5m', onError: () => undefined },
  );
  const { id } = await queue.add(1, { timeout: '300ms', maxAttempts: 2, backoff: 'fixed:10ms' });
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 10_000 }).toBe('failed');
  // Without the signal it would be a third of the lease.
  await expect.poll(() => heardMs.length, { timeout: 10_000 }).toBe(2);
  const { attempts } = await queue.get(id);
  expect(attempts.map(({ error }) => error?.type)).toEqual(['timeout', 'timeout']);
});
