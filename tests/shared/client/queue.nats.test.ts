import { afterAll, beforeAll, expect, test } from 'vitest';
import { DoNotRetry, type Trivet, connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

let server: RunningNatsServer;
let broker: ServiceProcess;
let trivet: Trivet;

const startBroker = (): Promise<ServiceProcess> =>
  startService('queue-broker', {
    ...natsEnvironment(server),
    TRIVET_NAME: 'queue-broker-1',
    TRIVET_DATA: `${server.dir}/queue-broker-1`,
    TRIVET_PARTITIONS: '2',
  });

beforeAll(async () => {
  server = await startNatsServer();
  broker = await startBroker();
  trivet = await connect({ url: server.url });
});
afterAll(async () => {
  await trivet.close();
  await broker.stop();
  await server.stop();
});

const counts = async (queue: string) => (await trivet.queue(queue).stats()).counts;

test('what is added in one turn goes out in one message, and each caller gets its own answer', async () => {
  const before = trivet.nats.connection.stats().outMsgs;
  const queue = trivet.queue<number>('turn');
  const added = await Promise.all(Array.from({ length: 100 }, (_, index) => queue.add(index)));
  expect(trivet.nats.connection.stats().outMsgs - before).toBe(1);
  expect(new Set(added.map((one) => one.id)).size).toBe(100);
  const { items } = await queue.list({ limit: 500 });
  expect(items.map((item) => item.payload)).toEqual(Array.from({ length: 100 }, (_, index) => index));
});

test('one bad item is refused alone and names the field', async () => {
  const settled = await trivet
    .queue('mixed')
    .addMany([{ payload: 1 }, { payload: 2, options: { delay: 'soon' } }, { payload: 3 }]);
  expect(settled.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(settled[1]).toMatchObject({
    reason: {
      code: 'invalid_request',
      message: expect.stringContaining(': delay must be') as string,
      details: { field: 'delay' },
    },
  });
});

test('a bad name of a queue or a namespace is refused at once, with blanks as with dots', () => {
  const refusal = (field: string): unknown =>
    expect.objectContaining({ code: 'invalid_request', details: { field } });
  for (const name of ['bad name', 'bad.name', '']) {
    expect(() => trivet.queue(name)).toThrow(refusal('queue'));
    expect(() => trivet.cache(name)).toThrow(refusal('namespace'));
  }
});

test('what is no JSON is refused as a payload', async () => {
  for (const payload of [undefined, () => 1, Symbol('s')])
    await expect(trivet.queue('odd').add(payload)).rejects.toMatchObject({
      code: 'invalid_request',
      details: { field: 'payload' },
    });
});

test('an option that there is not is refused, of a client as of a worker', async () => {
  const refusal = (field: string) => ({ code: 'invalid_request', details: { field } });
  await expect(connect({ servers: server.url } as never)).rejects.toMatchObject(refusal('servers'));
  expect(() => trivet.worker('odd', () => 1, { concurency: 5 } as never)).toThrow(
    expect.objectContaining(refusal('concurency')),
  );
});

test('a prefix that is no word of a subject is refused', async () => {
  for (const prefix of ['a b', 'a.b', '', '*'])
    await expect(connect({ url: server.url, prefix })).rejects.toMatchObject({
      code: 'invalid_request',
      details: { field: 'prefix' },
    });
});

test('at the end of a block that uses them a worker stops and a client closes', async () => {
  const handled: unknown[] = [];
  let left: Trivet;
  {
    await using own = await connect({ url: server.url });
    await using worker = own.worker('used', (payload) => void handled.push(payload));
    left = own;
    await (await own.queue('used').add('once')).result({ timeout: '10s' });
    expect(worker.queue).toBe('used');
  }
  expect(left.nats.connection.isClosed()).toBe(true);
  expect(handled).toEqual(['once']);
});

test('who finds no NATS, or is refused by one, is told where and how to go on', async () => {
  await expect(connect({ url: 'nats://ada:secret@127.0.0.1:1' })).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/^unavailable: no NATS at nats:\/\/127\.0\.0\.1:1 /) as string,
  });
  await expect(connect({ url: server.url, token: 'unknown' })).rejects.toMatchObject({
    code: 'unauthorized',
    message: expect.stringContaining(server.url) as string,
  });
});

test('a worker works on everything once, within its concurrency, and keeps the results', async () => {
  const queue = trivet.queue<{ n: number }, number>('work');
  const added = await Promise.all(Array.from({ length: 300 }, (_, n) => queue.add({ n })));
  let running = 0;
  let most = 0;
  const seen: number[] = [];
  const worker = trivet.worker<{ n: number }, number>(
    'work',
    async ({ n }) => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      running -= 1;
      seen.push(n);
      return n * 2;
    },
    { concurrency: 7 },
  );
  await expect.poll(async () => (await counts('work')).done, { timeout: 15_000 }).toBe(300);
  await worker.stop();
  expect(most).toBeLessThanOrEqual(7);
  expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, n) => n));
  expect(await queue.get(added[21]?.id ?? '')).toMatchObject({ state: 'done', result: 42 });
});

test('a failing handler is tried again, and its errors are kept', async () => {
  const { id } = await trivet.queue('flaky').add('x', { maxAttempts: 3, backoff: 'fixed:20ms' });
  const attempts: number[] = [];
  const worker = trivet.worker('flaky', (_, job) => {
    attempts.push(job.attempt);
    if (job.attempt < 3) throw new TypeError(`attempt ${job.attempt}`);
  });
  await expect.poll(async () => (await counts('flaky')).done, { timeout: 10_000 }).toBe(1);
  await worker.stop();
  expect(attempts).toEqual([1, 2, 3]);
  const item = await trivet.queue('flaky').get(id);
  expect(item.attempts.map((one) => one.error?.message)).toEqual(['attempt 1', 'attempt 2', undefined]);
  expect(item.attempts[0]?.error).toMatchObject({
    type: 'TypeError',
    stack: expect.stringContaining('queue.nats.test') as string,
  });
});

test('DoNotRetry ends an item at once', async () => {
  const { id } = await trivet.queue('final').add('x');
  const worker = trivet.worker('final', () => {
    throw new DoNotRetry('never');
  });
  await expect.poll(async () => (await counts('final')).failed, { timeout: 10_000 }).toBe(1);
  await worker.stop();
  expect(await trivet.queue('final').get(id)).toMatchObject({ state: 'failed', attempt: 1 });
});

test('a lease is renewed for as long as the handler runs, and a cancelled item aborts it', async () => {
  const { id } = await trivet.queue('long').add('x');
  const aborted = Promise.withResolvers<unknown>();
  const worker = trivet.worker(
    'long',
    (_, job) =>
      new Promise<void>((resolve) => {
        job.progress({ half: true });
        job.signal.addEventListener('abort', () => {
          aborted.resolve(job.signal.reason);
          resolve();
        });
      }),
    { lease: '600ms' },
  );
  // Three leases later it is still the first attempt, and its note has arrived.
  await expect
    .poll(async () => (await trivet.queue('long').get(id)).progress, { timeout: 10_000 })
    .toEqual({ half: true });
  const deadline = Date.now() + 1_800;
  await expect.poll(() => Date.now() > deadline, { timeout: 5_000 }).toBe(true);
  expect(await trivet.queue('long').get(id)).toMatchObject({ state: 'processing', attempt: 1 });
  await trivet.queue('long').cancel(id);
  expect(await aborted.promise).toMatchObject({ message: 'the item was cancelled' });
  await worker.stop();
  expect(await trivet.queue('long').get(id)).toMatchObject({ state: 'cancelled' });
});

test('a worker that stops lets its handlers finish, and leaves the rest to others', async () => {
  await trivet.queue('stopping').addMany(Array.from({ length: 20 }, (_, payload) => ({ payload })));
  const started = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const worker = trivet.worker(
    'stopping',
    async () => {
      started.resolve();
      await gate.promise;
    },
    { concurrency: 5 },
  );
  await started.promise;
  const stopped = worker.stop();
  gate.resolve();
  await stopped;
  const left = await counts('stopping');
  expect(left.done).toBe(5);
  expect(left.pending + left.processing).toBe(15);
});

test('a worker outlives the death of the broker and finishes what it had', { timeout: 60_000 }, async () => {
  await trivet.queue('outlive').addMany(Array.from({ length: 50 }, (_, payload) => ({ payload })));
  const seen: unknown[] = [];
  const errors: Error[] = [];
  const worker = trivet.worker(
    'outlive',
    async (payload) => {
      seen.push(payload);
      if (seen.length === 10) {
        await broker.kill();
        broker = await startBroker();
      }
    },
    { concurrency: 4, onError: (error) => errors.push(error) },
  );
  await expect
    .poll(async () => (await counts('outlive').catch(() => undefined))?.done, { timeout: 45_000 })
    .toBe(50);
  await worker.stop();
  expect(new Set(seen).size).toBe(50);
});
