import { addBatches, addSingly, addSteadily, fill } from './adding-tasks.ts';
import { BullmqJobs } from './bullmq-jobs.ts';
import type { Address, ClientMessage, TaskMessage, TaskName, Tasks } from './client-task.ts';
import type { JobSystem } from './job-system.ts';
import { TrivetJobs } from './trivet-jobs.ts';
import { WorkerTask, addAndTake, drain, seeRemoved } from './working-tasks.ts';

// The process of a client in a benchmark: connects, then does what its parent asks, one message a task, until the
// channel closes.

type Performers = { readonly [K in TaskName]: (input: Tasks[K]['input']) => Promise<Tasks[K]['output']> };

const address = JSON.parse(process.argv[2] ?? '') as Address;
const trivet = address.system === 'trivet' ? await TrivetJobs.connect(address.url) : undefined;
const system: JobSystem = trivet ?? new BullmqJobs(address.system === 'bullmq' ? address.port : 0);
const worker = new WorkerTask(system, (handled) => tell({ kind: 'progress', handled }));

const performers: Performers = {
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
};

process.on('message', (message: TaskMessage) => void perform(message));
process.once('disconnect', () => void system.close().finally(() => process.exit()));
tell({ kind: 'ready' });

async function perform<K extends TaskName>({ id, task, input }: TaskMessage<K>): Promise<void> {
  const performer: (input: Tasks[K]['input']) => Promise<Tasks[K]['output']> = performers[task];
  try {
    tell({ kind: 'done', id, output: await performer(input) });
  } catch (error) {
    tell({
      kind: 'failed',
      id,
      problem: `${task}: ${error instanceof Error ? error.message : String(error)}`,
    });
  }
}

function theTrivet(): TrivetJobs {
  if (trivet === undefined) throw new Error(`${address.system} has no such task`);
  return trivet;
}

function tell(message: ClientMessage): void {
  process.send?.(message);
}
