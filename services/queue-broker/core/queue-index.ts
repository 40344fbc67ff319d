import { type QueuePriority, type QueueStatus, priorities, states } from '#shared/protocol/queue-schemas.ts';
import { type Item, isFinal } from './item.ts';
import { NumberQueue } from './number-queue.ts';
import { ReadyBands } from './ready-bands.ts';

/** How long finished items are kept: by age, and by count for those that are done. */
export interface Retention {
  readonly doneMs: number;
  readonly doneMax: number;
  readonly failedMs: number;
}

export const defaultRetention: Retention = {
  doneMs: 3_600_000,
  doneMax: 100_000,
  failedMs: 14 * 86_400_000,
};

const columns = { order: 0, finishedAt: 1, place: 2 } as const;

/**
 * What the broker keeps in memory for one queue besides its items: the ready order, exact counts, and the finished
 * items in the order in which their retention ends.
 */
export class QueueIndex {
  readonly name: string;
  readonly ready = new ReadyBands();
  paused = false;
  payloadBytes = 0;
  /** Failures by the `type` that workers gave. Bounded: types beyond the limit count as `other`. */
  readonly failuresByType = new Map<string, number>();
  readonly #counts = new Map<QueueStatus, number>();
  readonly #waiting = new Map<QueuePriority, number>();
  /** Done and cancelled items; failed ones are kept longer and so stand in a queue of their own. */
  readonly #done = new NumberQueue(3);
  readonly #failed = new NumberQueue(3);

  constructor(name: string) {
    this.name = name;
  }

  /** Counts an item in (`sign` 1) or out (−1). */
  count(item: Item, sign: 1 | -1): void {
    this.#counts.set(item.state, (this.#counts.get(item.state) ?? 0) + sign);
    this.payloadBytes += sign * item.payloadBytes;
    if (isFinal(item.state)) return;
    const priority = priorities[item.band] ?? 'normal';
    this.#waiting.set(priority, (this.#waiting.get(priority) ?? 0) + sign);
  }

  /** Items of one state. */
  countOf(state: QueueStatus): number {
    return this.#counts.get(state) ?? 0;
  }

  get counts(): Readonly<Record<QueueStatus, number>> {
    return Object.fromEntries(states.map((state) => [state, this.countOf(state)])) as Record<
      QueueStatus,
      number
    >;
  }

  /** Items that are not final, by priority. */
  get byPriority(): Readonly<Record<QueuePriority, number>> {
    return Object.fromEntries(priorities.map((one) => [one, this.#waiting.get(one) ?? 0])) as Record<
      QueuePriority,
      number
    >;
  }

  /** True when nothing is stored for the queue. */
  get isEmpty(): boolean {
    return states.every((state) => this.countOf(state) === 0);
  }

  /** Brings entries that were added in another order into the one that counts. */
  sort(): void {
    this.ready.sort();
    this.#done.sortBy(columns.place);
    this.#failed.sortBy(columns.place);
  }

  finished(item: Item): void {
    const queue = item.state === 'failed' ? this.#failed : this.#done;
    queue.push(item.order, item.finishedAt ?? 0, item.readyOrder);
  }

  /**
   * Takes out the next finished item whose retention is over at `nowMs`, or undefined.
   * It may have been replayed meanwhile: the caller compares.
   */
  takeOverdue(retention: Retention, nowMs: number): Finished | undefined {
    const doneCount = this.countOf('done') + this.countOf('cancelled');
    return (
      takeIf(this.#done, (at) => doneCount > retention.doneMax || at + retention.doneMs <= nowMs) ??
      takeIf(this.#failed, (at) => at + retention.failedMs <= nowMs)
    );
  }

  /** When the retention of the first finished item ends, or undefined. */
  nextSweepAt(retention: Retention): number | undefined {
    const done = this.#done.first(columns.finishedAt);
    const failed = this.#failed.first(columns.finishedAt);
    const doneAt = done === undefined ? undefined : done + retention.doneMs;
    const failedAt = failed === undefined ? undefined : failed + retention.failedMs;
    if (doneAt === undefined || failedAt === undefined) return doneAt ?? failedAt;
    return Math.min(doneAt, failedAt);
  }

  countFailure(type: string): void {
    const known = this.failuresByType.has(type) || this.failuresByType.size < failureTypesMax;
    const name = known ? type : 'other';
    this.failuresByType.set(name, (this.failuresByType.get(name) ?? 0) + 1);
  }
}

/** Failure types counted apart for one queue. */
const failureTypesMax = 100;

interface Finished {
  readonly order: number;
  readonly place: number;
}

function takeIf(queue: NumberQueue, isOver: (finishedAt: number) => boolean): Finished | undefined {
  const finishedAt = queue.first(columns.finishedAt);
  const order = queue.first(columns.order);
  const place = queue.first(columns.place);
  if (finishedAt === undefined || order === undefined || place === undefined) return undefined;
  if (!isOver(finishedAt)) return undefined;
  queue.shift();
  return { order, place };
}
