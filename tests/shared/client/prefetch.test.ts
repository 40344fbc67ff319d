import { expect, test } from 'vitest';
import { type JobHost, RunningJob } from '#shared/client/job.ts';
import { Prefetch } from '#shared/client/prefetch.ts';
import type { QueuePriority } from '#shared/protocol/queue-schemas.ts';

const host = {} as JobHost;
let made = 0;

function job(priority: QueuePriority): RunningJob {
  made += 1;
  const item = {
    id: `0-${made}`,
    queue: 'q',
    priority,
    state: 'processing',
    attempt: 1,
    maxAttempts: 5,
    token: made,
    leaseExpiresAt: '',
    enqueuedAt: '',
    payload: null,
  } as const;
  return new RunningJob(host, item, { slot: 0, generation: 1 });
}

function held(...priorities: QueuePriority[]) {
  const jobs = priorities.map(job);
  const prefetch = new Prefetch(100);
  for (const one of jobs) prefetch.add(one);
  return { prefetch, jobs };
}

const event = (...priorities: QueuePriority[]) =>
  Buffer.from(JSON.stringify(priorities.map((priority) => ({ id: '0-1', priority, attempt: 0, at: '' }))));

test('the most urgent begins first, and within a band what came first', () => {
  const { prefetch, jobs } = held('low', 'critical', 'normal', 'critical');
  const begun = [prefetch.take(), prefetch.take(), prefetch.take(), prefetch.take(), prefetch.take()];
  expect(begun).toEqual([jobs[1], jobs[3], jobs[2], jobs[0], undefined]);
  expect(prefetch.size).toBe(0);
});

test('the least urgent is given up first, and of a band what came last', () => {
  const { prefetch, jobs } = held('low', 'low', 'high', 'normal');
  expect(prefetch.giveUp(2)).toEqual([jobs[1], jobs[0]]);
  expect(prefetch.giveUp(2)).toEqual([]);
  expect(prefetch.giveUp(0)).toEqual([jobs[3], jobs[2]]);
});

test('no more is outranked than is held, and nothing by what is as urgent', () => {
  const { prefetch } = held('high', 'normal', 'low');
  expect(prefetch.outranked(event('low', 'low'))).toBe(0);
  expect(prefetch.outranked(event('normal'))).toBe(1);
  expect(prefetch.outranked(event('normal', 'normal', 'normal'))).toBe(1);
  expect(prefetch.outranked(event('critical', 'critical', 'critical', 'critical'))).toBe(3);
  expect(prefetch.outranked(event('high', 'normal'))).toBe(1);
  expect(new Prefetch(10).outranked(event('critical'))).toBe(0);
});

test('as much is held as begins in 100 ms, and never more than is allowed', () => {
  const { prefetch } = held(...Array.from({ length: 100 }, () => 'normal' as const));
  expect(prefetch.target(1_000)).toBe(0);
  for (let begun = 0; begun < 30; begun += 1) prefetch.take();
  expect(prefetch.target(1_050)).toBe(0);
  expect(prefetch.target(1_200)).toBe(15);
  expect(prefetch.target(1_250)).toBe(15);
  expect(prefetch.target(1_400)).toBe(0);
  expect(new Prefetch(0).target(5_000)).toBe(0);
  const small = new Prefetch(2);
  small.target(0);
  for (let begun = 0; begun < 50; begun += 1) {
    small.add(job('normal'));
    small.take();
  }
  expect(small.target(100)).toBe(2);
});

test('a standstill gives all up and holds nothing until something begins', () => {
  const { prefetch } = held('normal', 'normal', 'normal');
  prefetch.target(1_000);
  prefetch.take();
  expect(prefetch.target(1_100)).toBe(1);
  expect(prefetch.stall()).toHaveLength(2);
  expect(prefetch.target(1_150)).toBe(0);
});

test('a job is taken out once', () => {
  const { prefetch, jobs } = held('normal', 'high');
  expect(prefetch.remove(jobs[0] as RunningJob)).toBe(true);
  expect(prefetch.remove(jobs[0] as RunningJob)).toBe(false);
  expect(prefetch.size).toBe(1);
});
