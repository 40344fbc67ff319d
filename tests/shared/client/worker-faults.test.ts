import { afterEach, beforeEach, expect, test } from 'vitest';
import { type TestTrivet, testTrivet } from '#services/queue-broker/testing.ts';
import { RetryAfter, RetryIn } from '#shared/client/handler-errors.ts';
import { HeldJobs } from '#shared/client/held-jobs.ts';
import { Intake } from '#shared/client/intake.ts';
import type { JobHost, RunningJob } from '#shared/client/job.ts';
import { LeaseTable } from '#shared/client/lease-table.ts';
import { LoopWatch } from '#shared/client/loop-watch.ts';
import type { WorkerWire } from '#shared/client/worker-wire.ts';
import { accept, refuse } from '#shared/protocol/errors.ts';
import type { LeasedItem } from '#shared/protocol/queue-schemas.ts';
import { ManualClock } from '#shared/runtime/manual-clock.ts';

// What a handler, a listener or the program around them may do wrong: the worker goes on.

let trivet: TestTrivet;

beforeEach(async () => {
  trivet = await testTrivet({ now: '2026-01-01T00:00:00Z' });
});

afterEach(() => trivet.close({ timeout: 0 }));

const spoilt = (change: object): Error => Object.assign(new Error('spoilt'), change);
const thrown: readonly [string, unknown][] = [
  ['nothing', undefined],
  ['an object without a text', Object.create(null)],
  [
    'an object whose text throws',
    {
      toString: () => {
        throw new Error('no text');
      },
    },
  ],
  ['an error whose message is a number', spoilt({ message: 42 })],
  ['an error without a message', spoilt({ message: undefined })],
  ['an error without a name', spoilt({ name: undefined })],
  ['an error whose stack is a list', spoilt({ stack: [{ line: 1 }] })],
];

for (const [what, value] of thrown)
  for (const way of ['thrown at once', 'rejected'] as const)
    test(`${what}, ${way}, fails its attempt and nothing else`, async () => {
      trivet.worker(
        'odd',
        (payload) => {
          if (payload !== 'odd') return 'fine';
          if (way === 'thrown at once') throw value;
          return Promise.reject(value);
        },
        { concurrency: 1 },
      );
      await trivet
        .queue('odd')
        .addMany([{ payload: 'odd', options: { maxAttempts: 1 } }, { payload: 'next' }]);
      await trivet.idle();
      expect((await trivet.items('odd')).map((item) => item.state)).toEqual(['failed', 'done']);
    });

test('a result that throws when it is looked at fails its attempt and nothing else', async () => {
  trivet.worker(
    'looked-at',
    (payload) => {
      if (payload !== 'odd') return 'fine';
      return new Proxy(
        {},
        {
          has: () => {
            throw new Error('do not look');
          },
        },
      );
    },
    { concurrency: 1 },
  );
  await trivet
    .queue('looked-at')
    .addMany([{ payload: 'odd', options: { maxAttempts: 1 } }, { payload: 'next' }]);
  await trivet.idle();
  expect((await trivet.items('looked-at')).map((item) => item.state)).toEqual(['failed', 'done']);
});

test('a delay that no broker would take fails the attempt at once, not with its lease', async () => {
  trivet.worker('far', (payload) => {
    throw payload === 'in' ? new RetryIn('99999d') : new RetryAfter('99999d');
  });
  const once = { maxAttempts: 1 };
  await trivet.queue('far').addMany([
    { payload: 'in', options: once },
    { payload: 'after', options: once },
  ]);
  await trivet.idle();
  expect((await trivet.items('far')).map((item) => item.state)).toEqual(['failed', 'failed']);
});

test('a worker whose onError throws goes on', async () => {
  const gate = Promise.withResolvers<void>();
  let heard = 0;
  trivet.worker<unknown, unknown>(
    'listener',
    (payload) => (payload === 'cancelled' ? gate.promise : 'fine'),
    {
      concurrency: 1,
      onError: () => {
        heard += 1;
        throw new Error('a logger that is broken');
      },
    },
  );
  const queue = trivet.queue('listener');
  const { id } = await queue.add('cancelled', { timeout: '1s', maxAttempts: 1 });
  await trivet.clock.advance('2m');
  gate.resolve();
  await queue.add('next');
  await trivet.idle();
  expect(heard).toBeGreaterThan(0);
  expect((await queue.get(id)).state).toBe('failed');
  expect((await trivet.items('listener')).at(-1)?.state).toBe('done');
});

test('a note that is no JSON value is refused by its field', async () => {
  trivet.worker('noted', (_, job) => job.progress(() => 'half'));
  const { id } = await trivet.queue('noted').add(1, { maxAttempts: 1 });
  await trivet.idle();
  expect((await trivet.queue('noted').get(id)).attempts[0]?.error).toMatchObject({
    message: 'invalid_request: progress must be a JSON value: no function, no symbol',
  });
});

test('what a handler says after its end is nothing', async () => {
  const errors: Error[] = [];
  const later: (() => void)[] = [];
  trivet.worker(
    'late',
    (_, job) => {
      later.push(() => {
        job.log('too late');
        job.progress('too late');
      });
    },
    { onError: (error) => errors.push(error) },
  );
  await trivet.queue('late').add(1);
  await trivet.idle();
  for (const speak of later) speak();
  await trivet.clock.advance('1s');
  expect(errors).toEqual([]);
});

test('a listener to events that throws hears of the next one all the same', async () => {
  const heard: unknown[] = [];
  const off = trivet.queue('heard').on('pending', ({ id }) => {
    heard.push(id);
    throw new Error('a listener that is broken');
  });
  const first = await trivet.queue('heard').add(1);
  await trivet.clock.advance('10ms');
  const second = await trivet.queue('heard').add(2);
  await trivet.clock.advance('10ms');
  off();
  expect(heard).toEqual([first.id, second.id]);
});

test('whoever waits for a result is told what is wrong by a rejection', async () => {
  const { id } = await trivet.queue('waited-for').add(1);
  const bad = trivet.queue('waited-for').finished(id, { timeout: 'soon' });
  await expect(bad).rejects.toMatchObject({ code: 'invalid_request' });
  const aborted = trivet.queue('waited-for').finished(id, { signal: AbortSignal.abort() });
  await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
});

test('closing ends who waits for a result, and who reads events', async () => {
  const other = await testTrivet();
  const added = await other.queue('never').add(1);
  const waiting = expect(added.result()).rejects.toMatchObject({ code: 'unavailable' });
  const next = other.queue('never').events().next();
  await other.close();
  await waiting;
  expect(await next).toEqual({ done: true, value: undefined });
  // Twice is once.
  await other.close();
});

test('what was added in the turn of the close is there', async () => {
  const other = await testTrivet();
  const added = other.queue('last').add('word');
  await other.close();
  expect(await added).toMatchObject({ state: 'pending' });
});

test('a worker asks on after it asked for something more urgent that nobody gave it', async () => {
  const clock = new ManualClock(0);
  const item = (number: number): LeasedItem => ({
    id: `0-${number}`,
    queue: 'q',
    priority: 'low',
    state: 'processing',
    attempt: 1,
    maxAttempts: 5,
    token: number + 1,
    leaseExpiresAt: '',
    enqueuedAt: '',
    payload: null,
  });
  const urgent = Promise.withResolvers<void>();
  const questions: PromiseWithResolvers<readonly LeasedItem[]>[] = [];
  const wire = {
    dequeue: async () => {
      const question = Promise.withResolvers<readonly LeasedItem[]>();
      questions.push(question);
      return accept(await question.promise);
    },
    dequeueNow: async () => {
      await urgent.promise;
      return refuse('timeout', 'no reply');
    },
  } as unknown as WorkerWire;
  const jobs = new HeldJobs(new LeaseTable(400), {} as JobHost, { clock, onOverdue: () => undefined });
  const begun: RunningJob[] = [];
  let running = 0;
  const intake = new Intake({
    wire,
    jobs,
    watch: new LoopWatch(clock, 10_000),
    clock,
    concurrency: 1,
    prefetch: 50,
    takes: () => true,
    running: () => running,
    settling: () => false,
    begin: (job) => {
      running += 1;
      begun.push(job);
    },
    handBack: () => undefined,
    handBackItems: () => Promise.resolve(),
    onHolding: () => undefined,
    onFault: () => undefined,
  });
  const end = () => {
    running -= 1;
    intake.begin();
    void intake.answered(0, []);
  };
  const turns = async () => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  // Twenty are leased, one runs, nineteen are held; then twenty critical ones become pending, and nobody answers.
  await intake.answered(
    0,
    Array.from({ length: 20 }, (_, number) => item(number)),
  );
  const event = Buffer.from(JSON.stringify(Array.from({ length: 20 }, () => ({ priority: 'critical' }))));
  void intake.makeRoom(event);
  for (let ended = 0; ended < 20; ended += 1) {
    end();
    await turns();
  }
  expect(begun).toHaveLength(20);
  urgent.resolve();
  await turns();
  expect(questions).toHaveLength(1);
});

test('a line of the log that is no text is refused by its name', async () => {
  trivet.worker('letters', (_, job) => job.log(7 as never));
  const added = await trivet.queue('letters').add(1, { maxAttempts: 1 });
  await expect(added.result()).rejects.toThrow('invalid_request: line must be text');
});
