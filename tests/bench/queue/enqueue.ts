import type { Sample, Workload } from '#tests/bench/measure.ts';
import { besideBullmq, clientOf } from './beside-bullmq.ts';
import type { Contestant } from './contestant.ts';

const callers = 200;
const batchSize = 500;
const batchCallers = 4;

/** `count` items, one a call, by 200 callers in one process. */
export const enqueueSingly = (count: number): Workload =>
  besideBullmq({
    workload: 'enqueue-single-200',
    unit: 'items/s',
    clients: 1,
    notes: `${callers} callers in one process, one item a call, ${count} items`,
    run: (side, queue) =>
      adding(side, queue, count, () => clientOf(side, 0).run('add-singly', { queue, count, callers })),
  });

/** `count` items in batches of 500, four batches under way. */
export const enqueueBatches = (count: number): Workload =>
  besideBullmq({
    workload: 'enqueue-batch-500',
    unit: 'items/s',
    clients: 1,
    notes: `p50 and p99 are of a batch of ${batchSize}; ${batchCallers} batches under way, ${count} items`,
    run: (side, queue) =>
      adding(side, queue, count, () =>
        clientOf(side, 0).run('add-batches', { queue, count, callers: batchCallers, size: batchSize }),
      ),
  });

async function adding(
  side: Contestant,
  queue: string,
  count: number,
  add: () => Promise<{ readonly seconds: number; readonly p50: number; readonly p99: number }>,
): Promise<Sample> {
  const { value: added, cpu } = await side.withCpu(count, add);
  await side.check(queue, { waiting: count, done: 0 });
  return { value: count / added.seconds, p50: added.p50, p99: added.p99, cpu };
}
