import { setTimeout as delay } from 'node:timers/promises';
import { percentile } from '#tests/bench/measure.ts';
import type { Fill, Latencies, Tasks } from './client-task.ts';
import type { JobSystem } from './job-system.ts';

/** A small job, as people have them. */
export const usualPayload = { to: 'someone@example.org', template: 'welcome', attempt: 1 };

const fillSize = 1_000;
const fillCallers = 4;

export async function addSingly(
  system: JobSystem,
  { queue, count, callers }: Tasks['add-singly']['input'],
): Promise<Tasks['add-singly']['output']> {
  await system.prepare(queue, { keepDone: true });
  const { times, seconds } = await timedCalls(count, callers, () => system.add(queue, usualPayload));
  return { ...latencies(times), seconds };
}

export async function addBatches(
  system: JobSystem,
  { queue, count, callers, size }: Tasks['add-batches']['input'],
): Promise<Tasks['add-batches']['output']> {
  await system.prepare(queue, { keepDone: true });
  const batch = Array.from({ length: size }, () => ({ payload: usualPayload }));
  const { times, seconds } = await timedCalls(count / size, callers, () => system.addMany(queue, batch));
  return { ...latencies(times), seconds };
}

export async function fill(system: JobSystem, options: Fill): Promise<undefined> {
  const { queue, count, bands, groups, payloadBytes } = options;
  const payload = payloadBytes === undefined ? usualPayload : payloadOf(payloadBytes);
  await timedCalls(Math.ceil(count / fillSize), fillCallers, (batch) => {
    const from = batch * fillSize;
    const jobs = Array.from({ length: Math.min(fillSize, count - from) }, (_, index) => ({
      payload,
      ...(bands === true ? { band: (from + index) % 4 } : {}),
      ...(groups === undefined ? {} : { group: `group-${(from + index) % groups}` }),
    }));
    return system.addMany(queue, jobs);
  });
}

/** A late answer does not slow the offer down: an item whose time has come is added, and the answers are awaited last. */
export async function addSteadily(
  system: JobSystem,
  { queue, perSecond, count }: Tasks['add-steadily']['input'],
): Promise<Tasks['add-steadily']['output']> {
  const answers: Promise<unknown>[] = [];
  const started = performance.now();
  while (answers.length < count) {
    const due = Math.min(count, Math.floor(((performance.now() - started) * perSecond) / 1_000));
    while (answers.length < due) answers.push(system.add(queue, { sentMicros: monotonicMicros() }));
    await delay(1);
  }
  const offered = (count * 1_000) / (performance.now() - started);
  await Promise.all(answers);
  return { perSecond: offered };
}

/** The same clock in every process of this machine. */
export const monotonicMicros = (): number => Number(process.hrtime.bigint() / 1_000n);

/** A string whose JSON has so many bytes. */
export const payloadOf = (bytes: number): string => 'x'.repeat(bytes - 2);

export function latencies(times: number[]): Latencies {
  times.sort((a, b) => a - b);
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

/** Runs `count` calls by `callers` at once, each one call at a time. */
export async function timedCalls(
  count: number,
  callers: number,
  call: (index: number) => Promise<unknown>,
): Promise<{ readonly times: number[]; readonly seconds: number }> {
  const times: number[] = [];
  let next = 0;
  const started = performance.now();
  const caller = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const at = performance.now();
      await call(index);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { times, seconds: (performance.now() - started) / 1_000 };
}
