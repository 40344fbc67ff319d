import type { LeasedItem } from '#shared/protocol/queue-schemas.ts';
import { type JobHost, RunningJob } from './job.ts';
import type { LeaseTable } from './lease-table.ts';

/** Whatever a worker has leased and not settled, by its slot in the table of leases. */
export class HeldJobs {
  readonly #table: LeaseTable;
  readonly #host: JobHost;
  readonly #jobs: (RunningJob | undefined)[] = [];

  constructor(table: LeaseTable, host: JobHost) {
    this.#table = table;
    this.#host = host;
  }

  /** Writes the lease down, so that it is kept from now on. Undefined when there is no room for it. */
  add(item: LeasedItem): RunningJob | undefined {
    const slot = this.#table.hold(item.id, item.token);
    if (slot === undefined) return undefined;
    const job = new RunningJob(this.#host, item, { slot, generation: this.#table.generation(slot) });
    this.#jobs[slot] = job;
    return job;
  }

  /** The lease is kept no longer. */
  drop(job: RunningJob): void {
    this.#jobs[job.slot] = undefined;
    this.#table.drop(job.slot);
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
