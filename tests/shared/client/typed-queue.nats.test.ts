import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Middleware,
  type NewItem,
  type PayloadSchema,
  type QueueItem,
  type QueueStats,
  RetryAfter,
  type Schedule,
  type Trivet,
} from '#shared/client/client.ts';
import type { Added } from '#shared/client/added-item.ts';
import type { IncomingJob } from '#shared/client/job.ts';
import { type RunningClient, startClient } from './running-client.ts';

interface Email {
  readonly to: string;
  readonly copies?: number;
}

let client: RunningClient;
let trivet: Trivet;

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
afterAll(() => client.stop());

/** A Standard Schema by hand: an address is required, copies are 1 unless the payload says otherwise. */
const email: PayloadSchema<Email, Required<Email>> = {
  '~standard': {
    version: 1,
    vendor: 'by hand',
    validate: (value) => {
      const { to, copies = 1 } = (value ?? {}) as Partial<Email>;
      if (typeof to !== 'string') return { issues: [{ message: 'must be a string', path: ['to'] }] };
      return { value: { to, copies } };
    },
  },
};

test('a payload that does not fit is refused by its field, and nothing is sent', async () => {
  const queue = trivet.queue('typed', { schema: email });
  const bad = { to: 7 } as unknown as Email;
  await expect(queue.add(bad)).rejects.toMatchObject({
    code: 'invalid_request',
    details: { field: 'payload.to' },
  });
  const settled = await queue.addMany([{ payload: { to: 'a@example.org' } }, { payload: bad }]);
  expect(settled.map((one) => one.status)).toEqual(['fulfilled', 'rejected']);
  expect((await queue.stats()).counts.pending).toBe(1);
});

test('the handler gets what the schema makes of a payload, and what does not fit fails for good', async () => {
  const plain = trivet.queue('checked');
  const got: Required<Email>[] = [];
  const worker = trivet.worker('checked', (payload) => void got.push(payload), {
    schema: email,
  });
  const good = await plain.add({ to: 'ada@example.org' });
  const bad = await plain.add({ from: 'nobody' });
  await expect.poll(async () => (await plain.get(good.id)).state, { timeout: 10_000 }).toBe('done');
  await expect.poll(async () => (await plain.get(bad.id)).state, { timeout: 10_000 }).toBe('failed');
  await worker.stop();
  expect(got).toEqual([{ to: 'ada@example.org', copies: 1 }]);
  expect(await plain.get(bad.id)).toMatchObject({
    attempt: 1,
    attempts: [
      { error: { type: 'invalid_payload', message: expect.stringContaining('payload.to') as string } },
    ],
  });
});

test('middleware stands around add and around the handler, outermost first, and may change the payload', async () => {
  const steps: string[] = [];
  const sealing: Middleware<NewItem, Added> = async (item, next) => {
    item.payload = { sealed: JSON.stringify(item.payload) };
    item.options = { ...item.options, headers: { sealed: 'yes' } };
    const added = await next();
    steps.push(`added ${added.duplicate}`);
    return added;
  };
  const opening: Middleware<IncomingJob, string> = (job, next) => {
    steps.push(`opens ${job.headers['sealed']}`);
    job.payload = JSON.parse((job.payload as { sealed: string }).sealed);
    return next();
  };
  const timing: Middleware<IncomingJob, string> = async (job, next) => {
    steps.push(`begins ${job.attempt}`);
    const result = await next();
    steps.push('ends');
    return `sent to ${result}`;
  };
  const queue = trivet.queue<Email, string>('sealed', { schema: email, middleware: [sealing] });
  const worker = trivet.worker('sealed', (payload) => payload.to, {
    schema: email,
    middleware: [timing, opening],
  });
  const added = await queue.add({ to: 'ada@example.org' });
  await expect.poll(async () => (await queue.get(added.id)).state, { timeout: 10_000 }).toBe('done');
  await worker.stop();
  const item = await queue.get(added.id);
  expect(item.payload).toEqual({ sealed: '{"to":"ada@example.org"}' });
  expect(item.result).toBe('sent to ada@example.org');
  expect(steps.toSorted()).toEqual(['added false', 'begins 1', 'ends', 'opens yes'].toSorted());
  expect(steps.indexOf('begins 1')).toBeLessThan(steps.indexOf('opens yes'));
});

test('middleware that refuses fails the attempt, or the add', async () => {
  const refusing = (): never => {
    throw new RangeError('not today');
  };
  const queue = trivet.queue('refusing', { middleware: [refusing] });
  await expect(queue.add(1)).rejects.toThrow('not today');
  const { id } = await trivet.queue('refusing').add(1, { maxAttempts: 1 });
  const worker = trivet.worker('refusing', () => 1, { middleware: [refusing] });
  await expect.poll(async () => (await queue.get(id)).state, { timeout: 10_000 }).toBe('failed');
  await worker.stop();
  expect(await queue.get(id)).toMatchObject({ attempts: [{ error: { type: 'RangeError' } }] });
});

test('an option that is undefined is one that was not given, for the compiler as well', async () => {
  // As `process.env` and optional arguments have it, where a project sets `exactOptionalPropertyTypes` as this one does.
  const none = undefined;
  const other = await client.another({ token: none, name: none, prefix: none });
  const queue = other.queue<number, number>('undefined', { schema: none, middleware: none });
  const options = { concurrency: none, lease: none, name: none, schema: none, onError: none };
  const worker = other.worker<number, number>('undefined', (payload) => payload + 1, options);
  const added = await queue.add(1, { key: none, priority: none, delay: none, headers: none });
  expect(await added.result({ timeout: none, signal: none })).toBe(2);
  expect((await queue.list({ state: none, cursor: none })).items).toHaveLength(1);
  await queue.events({ states: none, signal: none }).return?.();
  await queue.addMany([{ payload: 2, options: none }]);
  const { id } = await queue.add(3, { delay: '1h' });
  await queue.update(id, { payload: none, priority: 'high', delay: none, runAt: none });
  expect(await queue.get(id)).toMatchObject({ state: 'scheduled', priority: 'high', payload: 3 });
  await queue.cancel(id, { children: none });
  expect((await queue.result(id, { wait: none })).state).toBe('cancelled');
  await queue.logs(id, { after: none, limit: none });
  await queue.configure({ lease: none, retention: none });
  await queue.schedule('daily', { cron: '0 9 * * *', timeZone: none, missed: none, payload: 1 });
  expect(await queue.replayAll({ limit: none })).toBe(0);
  expect(await queue.cancelAll('scheduled', { limit: none })).toBe(0);
  expect(await queue.purge({ state: 'cancelled', limit: none })).toBe(1);
  expect(new RetryAfter('1s', { pauseWorker: none }).pauseWorker).toBe(false);
  await worker.stop({ timeout: none });
  other.cache<number>('undefined', { near: none, timeoutMs: none });
  other.telemetry.counter('undefined', 1, { tags: none, unit: none }).catch(() => none);
  other.telemetry.error(new Error('undefined'), { level: none, attributes: none }).catch(() => none);
  await other.close({ timeout: none });
});

test('what a queue takes and gives has names that a program can use', async () => {
  const queue = trivet.queue<number, number>('named');
  const nightly: Schedule = { cron: '0 3 * * *', payload: 1 };
  await queue.schedule('nightly', nightly);
  const item: QueueItem = await queue.get((await queue.add(1)).id);
  const stats: QueueStats = await queue.stats();
  expect([item.state, stats.counts.pending]).toEqual(['pending', 1]);
});
