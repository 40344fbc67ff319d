import type { LeasedItem } from '#shared/protocol/queue-schemas.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import { type JobHost, RunningJob } from './job.ts';
import type { LeaseTable } from './lease-table.ts';

export interface Overdue {
  readonly clock: Clock;
  /** The attempt has had its time: the broker has taken the item back. */
  readonly onOverdue: (job: RunningJob, timeoutMs: number) => void;
}

/** Whatever a worker has leased and not settled, by its slot in the table of leases. */
export class HeldJobs {
  readonly #table: LeaseTable;
  readonly #host: JobHost;
  readonly #overdue: Overdue;
  readonly #jobs: (RunningJob | undefined)[] = [];
  /** By slot, of attempts that have a time-out. */
  readonly #cancelTimers = new Map<number, () => void>();

  constructor(table: LeaseTable, host: JobHost, overdue: Overdue) {
    this.#table = table;
    this.#host = host;
    this.#overdue = overdue;
  }

  /** Writes the lease down, so that it is kept from now on. Undefined when there is no room for it. */
  add(item: LeasedItem): RunningJob | undefined {
    const slot = this.#table.hold(item.id, item.token);
    if (slot === undefined) return undefined;
    const job = new RunningJob(this.#host, item, { slot, generation: this.#table.generation(slot) });
    this.#jobs[slot] = job;
    const { timeoutMs } = item;
    if (timeoutMs !== undefined)
      this.#cancelTimers.set(
        slot,
        this.#overdue.clock.after(timeoutMs, () => {
          if (!job.settled) this.#overdue.onOverdue(job, timeoutMs);
        }),
      );
    return job;
  }

  /** The lease is kept no longer. */
  drop(job: RunningJob): void {
    this.#jobs[job.slot] = undefined;
    this.#table.drop(job.slot);
    if (this.#cancelTimers.size === 0) return;
    this.#cancelTimers.get(job.slot)?.();
    this.#cancelTimers.delete(job.slot);
  }

  /** The job that a lease of this generation belongs to, unless it has ended meanwhile. */
  at(slot: number, generation: number): RunningJob | undefined {
    const job = this.#jobs[slot];
    return job?.generation === generation && !job.settled ? job : undefined;
  }

  /** Those whose handlers have begun and not ended. */
  running(): RunningJob[] {
    return this.#jobs.filter((job) => job !== undefined && job.begun && !job.settled) as RunningJob[];
  }

  /** Those that have not ended, of these ids. */
  withIds(ids: readonly string[]): RunningJob[] {
    const wanted = new Set(ids);
    return this.#jobs.filter(
      (job) => job !== undefined && !job.settled && wanted.has(job.id),
    ) as RunningJob[];
  }
}
