import { serveTasks, tellParent } from '#tests/bench/task-messages.ts';
import { addBatches, addSingly, addSteadily, fill } from './adding-tasks.ts';
import { BullmqJobs } from './bullmq-jobs.ts';
import type { Address, Tasks } from './client-task.ts';
import type { JobSystem } from './job-system.ts';
import { TrivetJobs } from './trivet-jobs.ts';
import { WorkerTask, addAndTake, drain, seeRemoved } from './working-tasks.ts';

// The process of a client in a benchmark: connects, then does what its parent asks, one message a task, until the
// channel closes.

const address = JSON.parse(process.argv[2] ?? '') as Address;
const trivet = address.system === 'trivet' ? await TrivetJobs.connect(address.url) : undefined;
const system: JobSystem = trivet ?? new BullmqJobs(address.system === 'bullmq' ? address.port : 0);
const worker = new WorkerTask(system, (handled) => tellParent({ kind: 'progress', handled }));

serveTasks<Tasks>({
  performers: {
    'add-singly': (input) => addSingly(system, input),
    'add-batches': (input) => addBatches(system, input),
    fill: (input) => fill(system, input),
    'add-steadily': (input) => addSteadily(system, input),
    prepare: async ({ queue, keepDone }) => {
      await system.prepare(queue, { keepDone });
      return undefined;
    },
    work: (input) => worker.begin(input),
    settle: () => worker.settle(),
    'stop-work': () => worker.stop(),
    'add-and-take': (input) => addAndTake(theTrivet(), input),
    drain: (input) => drain(theTrivet(), input),
    'see-removed': (input) => seeRemoved(theTrivet(), input),
    'limit-groups': async ({ queue, perGroup }) => {
      await theTrivet().ask(queue, 'configure', { concurrency: { perGroup } });
      return undefined;
    },
  },
  close: () => system.close(),
});

function theTrivet(): TrivetJobs {
  if (trivet === undefined) throw new Error(`${address.system} has no such task`);
  return trivet;
}
