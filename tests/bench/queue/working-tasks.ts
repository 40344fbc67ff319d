import { setTimeout as delay } from 'node:timers/promises';
import { latencies, monotonicMicros, timedCalls } from '#tests/bench/timed-calls.ts';
import { payloadOf } from './adding-tasks.ts';
import type { Tasks } from './client-task.ts';
import type { JobSystem, Working } from './job-system.ts';
import type { TrivetJobs } from './trivet-jobs.ts';

/** How often handled items are reported, in milliseconds: often enough for a clock, too seldom to cost anything. */
const reportMs = 5;

/** Longer than any run: leases that are kept must not come back in the middle of a later round. */
const keptLease = '4h';

const removalMsMax = 10_000;

/** The one worker of a client process, from `work` to `stop-work`. */
export class WorkerTask {
  readonly #system: JobSystem;
  readonly #report: (handled: number) => void;
  #working: Working | undefined;
  #timer: NodeJS.Timeout | undefined;
  #waitedMs: number[] = [];
  #handled = 0;
  #reported = 0;

  constructor(system: JobSystem, report: (handled: number) => void) {
    this.#system = system;
    this.#report = report;
  }

  async begin({ queue, concurrency, keepDone, holdMs }: Tasks['work']['input']): Promise<undefined> {
    this.#waitedMs = [];
    this.#handled = 0;
    this.#reported = 0;
    this.#timer = setInterval(() => this.#tell(), reportMs);
    this.#working = await this.#system.work(queue, {
      concurrency,
      keepDone,
      handle: async (payload) => {
        const { sentMicros } = payload as { sentMicros?: number };
        if (sentMicros !== undefined) this.#waitedMs.push((monotonicMicros() - sentMicros) / 1_000);
        if (holdMs !== undefined) await delay(holdMs);
      },
      handled: () => {
        this.#handled += 1;
      },
    });
  }

  async settle(): Promise<undefined> {
    await this.#working?.settle();
  }

  async stop(): Promise<Tasks['stop-work']['output']> {
    await this.#working?.stop();
    clearInterval(this.#timer);
    return { handled: this.#handled, waited: latencies(this.#waitedMs) };
  }

  #tell(): void {
    if (this.#handled === this.#reported) return;
    this.#report(this.#handled - this.#reported);
    this.#reported = this.#handled;
  }
}

/** Keeps as many waiting as there were: what was added is taken, though not by the one who added it. */
export async function addAndTake(
  trivet: TrivetJobs,
  { queue, count, callers, payloadBytes }: Tasks['add-and-take']['input'],
): Promise<Tasks['add-and-take']['output']> {
  const payload = payloadOf(payloadBytes);
  const addMs: number[] = [];
  const takeMs: number[] = [];
  await timedCalls(count, callers, async () => {
    const at = performance.now();
    await trivet.add(queue, payload);
    const added = performance.now();
    const items = await trivet.dequeue(queue, 1, keptLease);
    takeMs.push(performance.now() - added);
    addMs.push(added - at);
    const [item] = items;
    if (item === undefined) throw new Error('nothing was handed out of a queue with a backlog');
    await trivet.ask(queue, 'complete', { id: item.id, token: item.token });
  });
  return { addMs, takeMs };
}

export async function drain(
  trivet: TrivetJobs,
  { queue, count, callers, max }: Tasks['drain']['input'],
): Promise<Tasks['drain']['output']> {
  let items = 0;
  const started = performance.now();
  const caller = async (): Promise<void> => {
    while (items < count) {
      const taken = await trivet.dequeue(queue, Math.min(max, count - items), keptLease);
      if (taken.length === 0) return;
      items += taken.length;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return { items, seconds: (performance.now() - started) / 1_000 };
}

/** Items are removed soon after they are done, and not within their completion. */
export async function seeRemoved(
  trivet: TrivetJobs,
  { queue }: Tasks['see-removed']['input'],
): Promise<undefined> {
  const deadline = performance.now() + removalMsMax;
  for (;;) {
    const { counts } = (await trivet.ask(queue, 'stats', {})) as { counts: { done?: number } };
    if ((counts.done ?? 0) === 0) return;
    if (performance.now() > deadline) throw new Error(`${queue} still keeps ${counts.done} done items`);
    await delay(100);
  }
}
