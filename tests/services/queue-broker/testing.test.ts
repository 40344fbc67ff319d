import { createHook } from 'node:async_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type TestTrivet, testTrivet } from '#services/queue-broker/testing.ts';
import { RetryAfter } from '#shared/client/handler-errors.ts';

let trivet: TestTrivet;

beforeEach(async () => {
  trivet = await testTrivet({ now: '2026-01-01T00:00:00Z' });
});

afterEach(() => trivet.close({ timeout: 0 }));

const states = async (queue: string) => (await trivet.items(queue)).map((item) => item.state);

test('a worker does what was added, and its result is there', async () => {
  const seen: unknown[] = [];
  trivet.worker('mails', (payload) => {
    seen.push(payload);
    return { sent: true };
  });
  const added = await trivet.queue('mails').add({ to: 'ada' });
  await trivet.idle();
  expect(seen).toEqual([{ to: 'ada' }]);
  expect(await added.result()).toEqual({ sent: true });
  expect(await trivet.items('mails')).toMatchObject([
    { id: added.id, state: 'done', result: { sent: true }, enqueuedAt: '2026-01-01T00:00:00.000Z' },
  ]);
});

test('time stands still until it is told to pass, and then delays come due at their moments', async () => {
  const begun: [unknown, string][] = [];
  trivet.worker('later', (payload) => {
    begun.push([payload, trivet.clock.now().toISOString()]);
  });
  for (const [payload, delay] of [
    ['b', '1h'],
    ['a', '10m'],
  ] as const)
    await trivet.queue('later').add(payload, { delay });
  await trivet.idle();
  expect(begun).toEqual([]);
  await trivet.clock.advance('10m');
  expect(begun).toEqual([['a', '2026-01-01T00:10:00.000Z']]);
  await trivet.clock.advance('49m');
  expect(begun).toHaveLength(1);
  await trivet.clock.advance('1m');
  expect(begun[1]).toEqual(['b', '2026-01-01T01:00:00.000Z']);
});

test('a failed attempt waits for its whole back-off, and the last one fails the item', async () => {
  let attempts = 0;
  trivet.worker('failing', () => {
    attempts += 1;
    throw new Error(`no ${attempts}`);
  });
  await trivet.queue('failing').add(1, { maxAttempts: 3, backoff: 'exponential:10s:1h' });
  await trivet.idle();
  expect([attempts, await states('failing')]).toEqual([1, ['retry']]);
  await trivet.clock.advance(9_999);
  expect(attempts).toBe(1);
  await trivet.clock.advance(1);
  expect(attempts).toBe(2);
  await trivet.drain();
  expect([attempts, await states('failing')]).toEqual([3, ['failed']]);
  expect(trivet.clock.now().toISOString()).toBe('2026-01-01T00:00:30.000Z');
});

test('a lease runs out when nobody renews it, and a worker renews that of a handler that runs long', async () => {
  await trivet.queue('leased').add(1);
  const asked = await trivet.nats.connection.request(
    'trivet.queue.leased.dequeue',
    JSON.stringify({ lease: '30s' }),
  );
  expect(asked.json()).toMatchObject({ items: [{ attempt: 1 }] });
  await trivet.clock.advance('30s');
  expect(await states('leased')).toEqual(['pending']);
  const hold = Promise.withResolvers<string>();
  trivet.worker('leased', () => hold.promise, { lease: '30s' });
  await trivet.clock.advance('2h');
  expect(await trivet.items('leased')).toMatchObject([{ state: 'processing', attempt: 2 }]);
  hold.resolve('done at last');
  await trivet.idle();
  expect(await trivet.items('leased')).toMatchObject([{ state: 'done', attempt: 2, result: 'done at last' }]);
});

test('an attempt beyond its time-out is ended, and its handler hears of it', async () => {
  const aborted = Promise.withResolvers<unknown>();
  trivet.worker('slow', (_, job) => {
    job.signal.addEventListener('abort', () => aborted.resolve(job.signal.reason));
    return aborted.promise.then(() => Promise.reject(new Error('ended')));
  });
  await trivet.queue('slow').add(1, { timeout: '1m', maxAttempts: 1 });
  await trivet.clock.advance('2m');
  expect(await aborted.promise).toMatchObject({ code: expect.stringMatching(/lease_lost|wrong_state/) });
  const [item] = await trivet.items('slow');
  expect(item).toMatchObject({ state: 'failed', attempts: [{ error: { type: 'timeout' } }] });
});

test('cancelling aborts the handler, and live events tell of it', async () => {
  const told: string[] = [];
  trivet.queue('watched').on('cancelled', ({ id }) => told.push(id));
  const begun = Promise.withResolvers<AbortSignal>();
  trivet.worker('watched', (_, job) => {
    begun.resolve(job.signal);
    return new Promise((_resolve, reject) => {
      job.signal.addEventListener('abort', () => reject(job.signal.reason as Error));
    });
  });
  const { id } = await trivet.queue('watched').add(1);
  const signal = await begun.promise;
  await trivet.queue('watched').cancel(id);
  await trivet.idle();
  expect([signal.aborted, told, await states('watched')]).toEqual([true, [id], ['cancelled']]);
});

test('a worker that rests takes up again when its time has come', async () => {
  let tries = 0;
  trivet.worker('limited', () => {
    tries += 1;
    if (tries === 1) throw new RetryAfter('10m', { pauseWorker: true });
  });
  await trivet.queue('limited').add(1);
  await trivet.clock.advance('9m');
  expect(tries).toBe(1);
  await trivet.drain();
  expect([tries, await states('limited')]).toEqual([2, ['done']]);
});

test('a key stands for its item until the window is over, and a flow runs from its children up', async () => {
  const first = await trivet.queue('keyed').add(1, { key: 'k' });
  expect(await trivet.queue('keyed').add(2, { key: 'k' })).toMatchObject({ id: first.id, duplicate: true });
  await trivet.clock.advance('25h');
  expect((await trivet.queue('keyed').add(3, { key: 'k' })).duplicate).toBe(false);

  const order: string[] = [];
  for (const queue of ['parts', 'whole'])
    trivet.worker(queue, () => {
      order.push(queue);
    });
  const children = [1, 2].map((payload) => ({ queue: 'parts', payload }));
  const root = await trivet.queue('whole').flow({ payload: 0, children });
  expect(root.children).toBe(2);
  await root.result();
  expect(order).toEqual(['parts', 'parts', 'whole']);
});

test('a schedule fires at each of its slots, however much time passes at once', async () => {
  await trivet.queue('hourly').schedule('digest', { cron: '0 * * * *', timeZone: 'Europe/Berlin' });
  await trivet.clock.advance('1d');
  const items = await trivet.items('hourly');
  expect(items.map((item) => item.headers?.['trivet-slot'])).toEqual(
    Array.from({ length: 24 }, (_, n) => new Date(Date.UTC(2026, 0, 1, n + 1)).toISOString()),
  );
});

test('idle says who keeps it waiting: what nobody takes, and what does not end', async () => {
  await trivet.queue('lonely').add(1);
  await expect(trivet.idle()).rejects.toThrow('1 item of lonely is ready, and nobody takes them');
  await expect(trivet.drain()).rejects.toThrow('1 item of lonely is ready, and nobody takes them');
  const end = Promise.withResolvers<void>();
  trivet.worker('lonely', () => end.promise);
  await expect(trivet.idle({ timeout: 1 })).rejects.toThrow('after 1 ms 1 item of lonely is still running');
  const idle = trivet.idle();
  end.resolve();
  await idle;
  expect(await states('lonely')).toEqual(['done']);
});

test('what is not part of it says so, and bad options are refused by name', async () => {
  expect(() => trivet.cache('users')).toThrow('the cache is not part of trivet/testing');
  await expect(trivet.telemetry.counter('mails')).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('carries the queue alone'),
  });
  await expect(trivet.clock.advance('soon')).rejects.toMatchObject({ details: { field: 'duration' } });
  await expect(testTrivet({ now: 'today' })).rejects.toMatchObject({ details: { field: 'now' } });
});

test('two of them know nothing of each other', async () => {
  const other = await testTrivet();
  await trivet.queue('shared').add(1);
  expect(await other.items('shared')).toEqual([]);
  await other.close();
});

test('nothing is left after close: no timer, no handler, and whoever asks is refused', async () => {
  const timers = watchTimers();
  const own = await testTrivet();
  const aborted: unknown[] = [];
  own.worker(
    'left',
    (_, job) =>
      new Promise(() => {
        job.signal.addEventListener('abort', () => aborted.push(job.signal.reason));
      }),
  );
  await own.queue('left').add(1);
  const waiting = own
    .queue('left')
    .finished('0-zzzz')
    .catch((error: unknown) => error);
  await own.clock.advance('1s');
  await own.close({ timeout: '10s' });
  expect(await waiting).toMatchObject({ code: 'not_found' });
  expect(aborted).toHaveLength(1);
  expect(await timers.left()).toEqual([]);
  await expect(own.queue('left').add(2)).rejects.toMatchObject({ code: 'unavailable' });
});

/** The timers that our code makes from now on, by where: those of vitest come and go. */
function watchTimers() {
  const made = new Map<number, string>();
  const hook = createHook({
    init: (id, type) => {
      const { stack = '' } = new Error('made here');
      if (type === 'Timeout' && /\/(?:services|shared)\/(?!.*\.test\.ts)/.test(stack)) made.set(id, stack);
    },
    destroy: (id) => made.delete(id),
  }).enable();
  return {
    left: async (): Promise<readonly string[]> => {
      // Node tells of the end of a timer in a later turn.
      await turn();
      await turn();
      hook.disable();
      return [...made.values()];
    },
  };
}

test('an item that was handed back shows the start of no attempt but those that it has had', async () => {
  let runs = 0;
  trivet.worker('returned', () => {
    runs += 1;
    throw runs === 2 ? new Error('no server') : new RetryAfter('1h');
  });
  await trivet.queue('returned').add(1, { backoff: 'fixed:1h' });
  await trivet.idle();
  expect((await trivet.items('returned'))[0]).toMatchObject({ state: 'scheduled', attempts: [] });
  expect((await trivet.items('returned'))[0]).not.toHaveProperty('startedAt');
  await trivet.clock.advance('1h');
  await trivet.clock.advance('1h');
  const [item] = await trivet.items('returned');
  expect([runs, item?.state, item?.startedAt]).toEqual([3, 'scheduled', item?.attempts[0]?.startedAt]);
});

test('the time for which an item was held and handed back is neither that of a run nor that of a wait', async () => {
  const queue = trivet.queue('held');
  const ask = (operation: string, body: object) =>
    trivet.nats.connection.request(`trivet.queue.held.${operation}`, JSON.stringify(body));
  const { id } = await queue.add(1);
  const taken = (await ask('dequeue', { lease: '1h' })).json<{ items: { token: number }[] }>();
  await trivet.clock.advance('10m');
  await ask('release', { id, token: taken.items[0]?.token });
  await ask('dequeue', {});
  const nothing = { p50: 0, p95: 0, p99: 0 };
  expect(await queue.stats()).toMatchObject({ attempts: 2, runMs: nothing, waitMs: nothing });
});
