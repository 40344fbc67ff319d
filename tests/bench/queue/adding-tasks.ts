import { setTimeout as delay } from 'node:timers/promises';
import { latencies, monotonicMicros, timedCalls } from '#tests/bench/timed-calls.ts';
import type { Fill, Tasks } from './client-task.ts';
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

/** A string whose JSON has so many bytes. */
export const payloadOf = (bytes: number): string => 'x'.repeat(bytes - 2);
