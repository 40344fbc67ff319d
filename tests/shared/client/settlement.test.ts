import { expect, test } from 'vitest';
import { DoNotRetry, RetryAfter, RetryIn } from '#shared/client/handler-errors.ts';
import { type JobHost, RunningJob } from '#shared/client/job.ts';
import { completed, failed, messagesOf, released } from '#shared/client/settlement.ts';

const job = new RunningJob(
  {} as JobHost,
  {
    id: '0-a',
    queue: 'q',
    priority: 'normal',
    state: 'processing',
    attempt: 1,
    maxAttempts: 5,
    token: 9,
    leaseExpiresAt: '',
    enqueuedAt: '',
    payload: null,
  },
  { slot: 0, generation: 1 },
);
const bodyOf = ({ operation, text }: { operation: string; text: string }): unknown => ({
  operation,
  ...(JSON.parse(text) as object),
});
const head = { id: '0-a', token: 9 };

test('a result is kept, and nothing is said of none', () => {
  expect(bodyOf(completed(job, { n: 1n }))).toEqual({ operation: 'complete', ...head, result: { n: '1' } });
  expect(bodyOf(completed(job, undefined))).toEqual({ operation: 'complete', ...head });
  expect(bodyOf(completed(job, null))).toEqual({ operation: 'complete', ...head, result: null });
});

test('a result that cannot be kept fails the attempt and says why', () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  expect(bodyOf(completed(job, cycle))).toMatchObject({ operation: 'fail', error: { type: 'TypeError' } });
  expect(bodyOf(completed(job, 'x'.repeat(300_000)))).toMatchObject({
    operation: 'fail',
    error: { message: expect.stringContaining('result must be at most 262144 bytes') as string },
  });
});

test('what a handler throws says what becomes of the item', () => {
  expect(bodyOf(failed(job, new RangeError('far')))).toMatchObject({
    operation: 'fail',
    ...head,
    error: { message: 'far', type: 'RangeError' },
  });
  expect(bodyOf(failed(job, new DoNotRetry('no')))).toMatchObject({ operation: 'fail', retry: false });
  expect(bodyOf(failed(job, new RetryIn('10s')))).toMatchObject({ operation: 'fail', delay: 10_000 });
  expect(bodyOf(failed(job, new RetryAfter('30s')))).toEqual({
    operation: 'release',
    ...head,
    delay: 30_000,
  });
  expect(bodyOf(failed(job, 'text'))).toEqual({ operation: 'fail', ...head, error: { message: 'text' } });
  expect(bodyOf(released(job))).toEqual({ operation: 'release', ...head });
});

test('a delay that is none is refused where it is written', () => {
  expect(() => new RetryAfter('soon')).toThrow('delay is not a duration');
  expect(() => new RetryIn(-1)).toThrow('delay is not a duration');
});

test('a message has at most a thousand outcomes, and fewer where they are long', () => {
  const many = Array.from({ length: 2_001 }, () => completed(job, undefined));
  expect(messagesOf(many).map((one) => one.length)).toEqual([1_000, 1_000, 1]);
  const long = Array.from({ length: 10 }, () => completed(job, 'x'.repeat(250_000)));
  expect(messagesOf(long).map((one) => one.length)).toEqual([8, 2]);
  expect(messagesOf([])).toEqual([]);
});
