import type { QueueStats, QueueTotals } from '#shared/protocol/queue-schemas.ts';
import type { PartitionTable } from './core/partition-table.ts';
import { QueueFigures } from './core/queue-figures.ts';
import { QueueIndex } from './core/queue-index.ts';
import type { StateEvent } from './core/state-event.ts';

/**
 * Figures of queues: exact counts from the table, rates and durations from what was announced since this process
 * owns the queue.
 */
export class QueueStatistics {
  readonly #figures = new Map<string, QueueFigures>();

  add(events: readonly StateEvent[], nowMs: number): void {
    for (const event of events) this.#of(event.queue).add(event, nowMs);
  }

  /** The figures of one queue; zeros for a queue that was never used. */
  of(table: PartitionTable, queue: string, nowMs: number): QueueStats {
    const index = table.queue(queue) ?? new QueueIndex(queue, table.defaults);
    const figures = this.#figures.get(queue) ?? noFigures;
    return {
      queue,
      paused: index.paused,
      byPriority: index.byPriority,
      ...totalsOf(table, index, nowMs),
      leases: index.countOf('processing'),
      rates: {
        '1m': figures.rates(nowMs, 1),
        '5m': figures.rates(nowMs, 5),
        '15m': figures.rates(nowMs, 15),
      },
      waitMs: figures.waitMs,
      runMs: figures.runMs,
      lateMs: figures.lateMs,
      failuresByType: Object.fromEntries(index.counters.failuresByType),
      slotsSkipped: table.schedules.skippedOf(queue),
      logBytes: index.logBytes,
    };
  }

  /** The queue is no more. */
  forget(queue: string): void {
    this.#figures.delete(queue);
  }

  #of(queue: string): QueueFigures {
    let figures = this.#figures.get(queue);
    if (figures === undefined) {
      figures = new QueueFigures();
      this.#figures.set(queue, figures);
    }
    return figures;
  }
}

/** The part of it that costs little and can be added up. */
export function totalsOf(table: PartitionTable, index: QueueIndex, nowMs: number): QueueTotals {
  const { attempts, expiredLeases, finished } = index.counters;
  const oldest = table.oldestReadyAt(index);
  return {
    counts: index.counts,
    bytes: index.payloadBytes,
    oldestPendingMs: oldest === undefined ? 0 : Math.max(0, nowMs - oldest),
    attempts,
    expiredLeases,
    finished,
  };
}

/** Of queues at which nothing has happened. */
const noFigures = new QueueFigures();
