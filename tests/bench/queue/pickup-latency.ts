import type { Sample, Workload } from '#tests/bench/measure.ts';
import { besideBullmq, clientOf } from './beside-bullmq.ts';
import type { Contestant } from './contestant.ts';

const perSecond = 1_000;
/** A handler holds its slot for 10 ms, so that at 1,000 items/s ten of twenty slots are taken: half load. */
const holdMs = 10;
const concurrency = 20;

/** From the call of `add` to the start of the handler, while a worker with free slots waits for items. */
export const pickupLatency = (count: number): Workload =>
  besideBullmq({
    workload: 'pickup-latency',
    unit: 'ms',
    clients: 2,
    notes:
      `the figure is the p99; ${perSecond} items/s offered by a process that does not wait for answers, ${count} items, ` +
      `another process works with ${concurrency} slots, each item holds one for ${holdMs} ms`,
    run: (side, queue) => pickedUp(side, queue, count),
  });

async function pickedUp(side: Contestant, queue: string, count: number): Promise<Sample> {
  const producer = clientOf(side, 0);
  const worker = clientOf(side, 1);
  const all = Promise.withResolvers<void>();
  let handled = 0;
  worker.onHandled = (items) => {
    handled += items;
    if (handled >= count) all.resolve();
  };
  await producer.run('prepare', { queue, keepDone: true });
  await worker.run('work', { queue, concurrency, keepDone: true, holdMs });
  const { value: offered, cpu } = await side.withCpu(count, async () => {
    const added = await producer.run('add-steadily', { queue, perSecond, count });
    await all.promise;
    await worker.run('settle', undefined);
    return added.perSecond;
  });
  const { waited, handled: runs } = await worker.run('stop-work', undefined);
  if (runs !== count) throw new Error(`${queue}: ${runs} runs of handlers for ${count} items`);
  await side.check(queue, { waiting: 0, done: count });
  return {
    value: waited.p99,
    p50: waited.p50,
    p99: waited.p99,
    cpu,
    figures: { 'offered items/s': offered },
  };
}
