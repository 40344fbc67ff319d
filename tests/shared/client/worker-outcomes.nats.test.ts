import { afterAll, beforeAll, expect, test } from 'vitest';
import { RetryAfter, RetryIn, type Trivet } from '#shared/client/client.ts';
import { requestReply } from '#shared/client/request.ts';
import { msgpack } from '#shared/protocol/encoding.ts';
import { type RunningClient, startClient } from './running-client.ts';

let client: RunningClient;
let trivet: Trivet;

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
afterAll(() => client.stop());

const stateOf = (queue: string, id: string) => async () => (await trivet.queue(queue).get(id)).state;

test('RetryIn says when the next attempt begins, whatever the back-off', async () => {
  const queue = trivet.queue('retry-in');
  const worker = trivet.worker('retry-in', (_, job) => {
    if (job.attempt === 1) throw new RetryIn('50ms', 'not yet');
    return job.attempt;
  });
  const { id } = await queue.add('x', { backoff: 'fixed:1h' });
  await expect.poll(stateOf('retry-in', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  expect(await queue.get(id)).toMatchObject({
    result: 2,
    attempts: [{ error: { message: 'not yet', type: 'RetryIn' } }, { attempt: 2 }],
  });
});

test('RetryAfter hands the item back for a while, and the attempt is not charged', async () => {
  const queue = trivet.queue('retry-after');
  let runs = 0;
  const worker = trivet.worker('retry-after', (_, job) => {
    runs += 1;
    if (runs < 4) throw new RetryAfter('100ms');
    return job.attempt;
  });
  const { id } = await queue.add('x', { maxAttempts: 2 });
  await expect.poll(stateOf('retry-after', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  expect(runs).toBe(4);
  const item = await queue.get(id);
  expect(item).toMatchObject({ attempt: 1, result: 1 });
  expect(item.transitions.map((one) => one.to)).toContain('scheduled');
});

test('RetryAfter can rest the whole worker, which then goes on by itself', async () => {
  const queue = trivet.queue<number>('rests');
  const began: number[] = [];
  const worker = trivet.worker<number>(
    'rests',
    (payload) => {
      began.push(payload);
      if (began.length === 1) throw new RetryAfter('1500ms', { pauseWorker: true });
    },
    { concurrency: 1 },
  );
  await queue.addMany([{ payload: 1 }, { payload: 2 }]);
  await expect.poll(() => began.length, { timeout: 10_000 }).toBe(1);
  await expect
    .poll(async () => (await queue.stats()).counts, { timeout: 10_000 })
    .toMatchObject({ scheduled: 1, pending: 1 });
  await expect.poll(async () => (await queue.stats()).counts.done, { timeout: 10_000 }).toBe(2);
  await worker.stop();
  expect(began.filter((payload) => payload === 1)).toHaveLength(2);
  expect(began).toHaveLength(3);
});

test('bytes go and come as they are, with their options', async () => {
  const queue = trivet.queue<Uint8Array, string>('bytes');
  const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const got = Promise.withResolvers<{ payload: Uint8Array; tenant: string | undefined }>();
  const worker = trivet.worker<Uint8Array, string>('bytes', (payload, job) => {
    got.resolve({ payload, tenant: job.headers['tenant'] });
    return job.priority;
  });
  const options = { priority: 'high', key: 'once', headers: { tenant: 'a' } } as const;
  const { id } = await queue.add(bytes, options);
  expect(await queue.add(bytes, options)).toMatchObject({ id, duplicate: true });
  const { payload, tenant } = await got.promise;
  expect(Buffer.compare(payload, bytes)).toBe(0);
  expect(tenant).toBe('a');
  await expect.poll(stateOf('bytes', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  expect(await queue.get(id)).toMatchObject({ result: 'high' });
});

test('what a producer in another language sent as MessagePack comes as a value, and as bytes what only says so', async () => {
  const got: unknown[] = [];
  const types: unknown[] = [];
  const worker = trivet.worker('msgpack', (payload, job) => {
    got.push(payload);
    types.push(job.contentType);
  });
  const subject = trivet.subjects.queue('msgpack', 'enqueue');
  const sent = { when: new Date(0), bytes: Buffer.from([1, 2]) };
  const reply = await requestReply(trivet.nats, subject, sent, { encoding: msgpack });
  expect(reply).toMatchObject({ ok: true });
  await trivet.queue('msgpack').add(Buffer.from([0xc1]));
  await expect.poll(() => got.length, { timeout: 10_000 }).toBe(2);
  await worker.stop();
  expect(got).toEqual([sent, Buffer.from([0xc1])]);
  expect(types).toEqual(['application/msgpack', 'application/octet-stream']);
});

test('a payload that cannot be sent is refused before it is, by its field', async () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const queue = trivet.queue('unsendable');
  await expect(queue.add(cycle)).rejects.toMatchObject({
    code: 'invalid_request',
    details: { field: 'payload' },
  });
  for (const large of ['é'.repeat(600_000), Buffer.alloc(1_048_577)])
    await expect(queue.add(large)).rejects.toMatchObject({
      code: 'payload_too_large',
      details: { field: 'payload' },
    });
  expect(await queue.add('fits')).toMatchObject({ state: 'pending' });
});

test('a thenable is waited for like a promise', async () => {
  const worker = trivet.worker(
    'thenable',
    () =>
      ({
        // As the queries of some libraries are: begun when they are awaited.
        // oxlint-disable-next-line unicorn/no-thenable -- that is what is tested
        then: (resolve: (value: number) => void) => resolve(42),
      }) as unknown as Promise<number>,
  );
  const { id } = await trivet.queue('thenable').add('x');
  await expect.poll(stateOf('thenable', id), { timeout: 10_000 }).toBe('done');
  await worker.stop();
  expect(await trivet.queue('thenable').get(id)).toMatchObject({ result: 42 });
});

test('a worker is refused for options that cannot be, by their names', () => {
  const options = [
    ['concurrency', { concurrency: 0 }],
    ['concurrency', { concurrency: 1.5 }],
    ['prefetch', { prefetch: -1 }],
    ['lease', { lease: '10ms' }],
    ['lease', { lease: 'long' }],
    ['name', { name: '' }],
  ] as const;
  for (const [field, bad] of options)
    expect(() => trivet.worker('q', () => undefined, bad), field).toThrow(
      expect.objectContaining({ code: 'invalid_request', details: { field } }),
    );
  expect(() => trivet.worker('no.name', () => undefined)).toThrow(
    expect.objectContaining({ details: { field: 'queue' } }),
  );
});

test('what goes wrong beside the handlers is a warning of Node.js when nobody asked for it', async () => {
  const warned = Promise.withResolvers<Error>();
  process.once('warning', warned.resolve);
  const stray = await client.another({ prefix: 'nobody-serves-this' });
  const worker = stray.worker('unserved', () => undefined);
  expect(await warned.promise).toMatchObject({
    name: 'TrivetWarning',
    message: expect.stringContaining('worker of unserved: ') as string,
  });
  await worker.stop();
});
