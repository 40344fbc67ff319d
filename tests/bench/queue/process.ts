import type { Sample, Workload } from '#tests/bench/measure.ts';
import { besideBullmq, clientOf, fsync } from './beside-bullmq.ts';
import type { Contestant, QueueClient } from './contestant.ts';

const concurrency = 200;
const concurrencyOfEach = 50;
const workersMax = 4;

/** Empty jobs in four bands to their terminal state, one worker process; done items are kept or not, alike on both sides. */
export const processItems = (count: number, options: { readonly keepDone: boolean }): Workload =>
  besideBullmq({
    workload: options.keepDone ? 'process-200' : 'process-200-removed',
    unit: 'items/s',
    durability: `${fsync}; done items are ${options.keepDone ? 'kept' : 'removed'} on both sides`,
    clients: 1,
    notes: `${count} empty jobs in four bands, one worker process, concurrency ${concurrency}; completions are counted in the log`,
    run: (side, queue) =>
      processed(side, queue, { count, concurrency, workers: 1, keepDone: options.keepDone }),
  });

/** One queue, worked on by one process and then by four. */
export const workerProcesses = (count: number): Workload =>
  besideBullmq({
    workload: 'workers-1-4',
    unit: 'items/s',
    durability: `${fsync}; done items are kept on both sides`,
    clients: workersMax,
    notes: `${count} empty jobs, ${workersMax} worker processes of concurrency ${concurrencyOfEach}; beside them the rate of one`,
    run: async (side, queue) => {
      const shape = { count, concurrency: concurrencyOfEach, keepDone: true };
      const one = await processed(side, `${queue}-by-1`, { ...shape, workers: 1 });
      const four = await processed(side, `${queue}-by-4`, { ...shape, workers: workersMax });
      return {
        ...four,
        figures: { 'with one process items/s': one.value, 'four processes × one': four.value / one.value },
      };
    },
  });

interface Processing {
  readonly count: number;
  /** Of each worker. */
  readonly concurrency: number;
  readonly workers: number;
  readonly keepDone: boolean;
}

/** Fills a queue, lets the workers empty it, and checks that each item was delivered once. */
async function processed(side: Contestant, queue: string, processing: Processing): Promise<Sample> {
  const { count, keepDone } = processing;
  await clientOf(side, 0).run('prepare', { queue, keepDone });
  await clientOf(side, 0).run('fill', { queue, count, bands: true });
  const workers = side.clients.slice(0, processing.workers);
  const { value: seconds, cpu } = await side.withCpu(count, () => workedOff(workers, queue, processing));
  const ended = await Promise.all(workers.map((worker) => worker.run('stop-work', undefined)));
  const handled = ended.reduce((sum, one) => sum + one.handled, 0);
  if (handled !== count) throw new Error(`${queue}: ${handled} runs of handlers for ${count} items`);
  await side.check(queue, { waiting: 0, done: count, keepDone });
  return { value: count / seconds, cpu };
}

/** Seconds from the word to begin until the last completion is as durable as the system makes it. */
async function workedOff(
  workers: readonly QueueClient[],
  queue: string,
  { count, concurrency: slots, keepDone }: Processing,
): Promise<number> {
  const all = Promise.withResolvers<void>();
  let handled = 0;
  for (const worker of workers) {
    worker.onHandled = (items) => {
      handled += items;
      if (handled >= count) all.resolve();
    };
  }
  const started = performance.now();
  await Promise.all(workers.map((worker) => worker.run('work', { queue, concurrency: slots, keepDone })));
  await all.promise;
  await Promise.all(workers.map((worker) => worker.run('settle', undefined)));
  return (performance.now() - started) / 1_000;
}
