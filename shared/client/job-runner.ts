import { RetryAfter } from './handler-errors.ts';
import type { RunningJob } from './job.ts';
import { type Settlement, completed, failed, failedWith, released } from './settlement.ts';

export interface JobRunnerOptions {
  readonly work: (job: RunningJob) => unknown;
  /** A handler has ended, or has been given up: it no longer counts as running. */
  readonly onEnd: (job: RunningJob, settlement: Settlement) => void;
  /** A handler asks that the worker takes nothing for a while. */
  readonly onRest: (delayMs: number) => void;
}

/** Calls handlers, and makes of what they return or throw what is said of their items. */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  #running = 0;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  /** Handlers that have begun and not ended. */
  get running(): number {
    return this.#running;
  }

  /** Calls the handler. One that returns no promise costs none. */
  begin(job: RunningJob): void {
    this.#running += 1;
    job.begun = true;
    let outcome: unknown;
    let isLater: boolean;
    try {
      outcome = this.#options.work(job);
      // Within the `try`: what is returned may throw when it is looked at.
      isLater = isThenable(outcome);
    } catch (error) {
      this.#threw(job, error);
      return;
    }
    if (isLater) void this.#settle(job, outcome as PromiseLike<unknown>);
    else this.#end(job, completed(job, outcome));
  }

  /** Tells handlers to end. What they throw from now on is no failure. */
  interrupt(jobs: readonly RunningJob[]): void {
    for (const job of jobs) {
      job.interrupted = true;
      job.abort(new Error('the worker stops'));
    }
  }

  /** Gives handlers up that have not ended: their attempts have failed, whatever they still do. */
  giveUp(jobs: readonly RunningJob[]): void {
    const error = { message: 'the worker was stopped before the handler had ended', type: 'worker_stopped' };
    for (const job of jobs) this.#end(job, failedWith(job, error));
  }

  async #settle(job: RunningJob, outcome: PromiseLike<unknown>): Promise<void> {
    try {
      this.#end(job, completed(job, await outcome));
    } catch (error) {
      this.#threw(job, error);
    }
  }

  #threw(job: RunningJob, error: unknown): void {
    if (error instanceof RetryAfter && error.pauseWorker) this.#options.onRest(error.delayMs);
    this.#end(job, job.interrupted ? released(job) : failed(job, error));
  }

  #end(job: RunningJob, settlement: Settlement): void {
    if (job.settled) return;
    job.settled = true;
    this.#running -= 1;
    this.#options.onEnd(job, settlement);
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
