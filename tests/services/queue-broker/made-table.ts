import { nothingApplied } from '#services/queue-broker/core/applied.ts';
import { PartitionTable } from '#services/queue-broker/core/partition-table.ts';
import { type Retention, defaultRetention } from '#services/queue-broker/core/queue-index.ts';
import { Turn } from '#services/queue-broker/core/turn.ts';
import {
  type EnqueueAnswer,
  type EnqueueRequest,
  decideEnqueue,
} from '#services/queue-broker/core/enqueue-decisions.ts';
import { readItemOptions } from '#services/queue-broker/core/item-options.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import type { Result } from '#shared/protocol/errors.ts';
import type { EnqueueOptions } from '#shared/protocol/queue-schemas.ts';
import { transitions } from '#tests/support/virtual-world.ts';

/** A table with nothing around it: turns follow each other, and each one counts as committed when the next begins. */
export class MadeTable {
  readonly store = new MemoryStore();
  readonly table: PartitionTable;

  constructor(retention: Retention = defaultRetention) {
    this.table = new PartitionTable({ rows: this.store, transitions, retention, applied: nothingApplied });
  }

  /** One turn at `at`. */
  turn<T>(at: number, decide: (turn: Turn) => T): T {
    const sequence = this.table.applied.sequence + 1;
    const turn = new Turn({ table: this.table, partition: 0, at, sequence, random01: () => 0.5 });
    const decided = decide(turn);
    this.table.advance(sequence, turn.at);
    return decided;
  }

  enqueue(at: number, options: EnqueueOptions = {}, queue = 'mail'): EnqueueAnswer {
    return value(this.turn(at, (turn) => decideEnqueue(turn, enqueueRequest(options, queue))));
  }
}

export const enqueueRequest = (options: EnqueueOptions = {}, queue = 'mail'): EnqueueRequest => ({
  queue,
  payload: new TextEncoder().encode('{}'),
  payloadIsJson: true,
  options: value(readItemOptions(options)),
});

export function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.error.code}: ${result.error.message}`);
  return result.value;
}
