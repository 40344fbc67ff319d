import { nothingApplied } from '#services/queue-broker/core/applied.ts';
import { PartitionTable } from '#services/queue-broker/core/partition-table.ts';
import { type Retention, defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
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
  readonly store: MemoryStore;
  readonly table: PartitionTable;

  constructor(retention: Retention = defaultSettings.retention, store = new MemoryStore()) {
    this.store = store;
    const applied = store.position()?.applied ?? nothingApplied;
    this.table = new PartitionTable({
      rows: store,
      transitions,
      defaults: { ...defaultSettings, retention },
      applied,
    });
    for (const [key, record] of store.records()) this.table.loadRecord(key, record);
    for (const item of store.items()) this.table.load(item);
    this.table.loaded();
  }

  /** Stores what has changed. */
  async commit(): Promise<void> {
    const { changes, applied } = this.table.takeChanges();
    await this.store.commit(changes, { applied, logIdentity: 'none' });
    this.table.stored();
  }

  /** The table as it is after a restart, from what is stored. Both share the rows: store nothing more in either. */
  reloaded(): MadeTable {
    return new MadeTable(this.table.defaults.retention, this.store);
  }

  /** One turn at `at`. */
  turn<T>(at: number, decide: (turn: Turn) => T): T {
    const sequence = this.table.applied.sequence + 1;
    const turn = new Turn({ table: this.table, partition: 0, at, sequence, random01: () => 0.5 });
    const decided = decide(turn);
    this.table.advance(sequence, turn.at);
    return decided;
  }

  enqueue(at: number, options: EnqueueOptions = {}, queue = 'mail', payload: unknown = {}): EnqueueAnswer {
    return value(this.turn(at, (turn) => decideEnqueue(turn, enqueueRequest(options, queue, payload))));
  }
}

export const enqueueRequest = (
  options: EnqueueOptions = {},
  queue = 'mail',
  payload: unknown = {},
): EnqueueRequest => ({
  queue,
  payload: new TextEncoder().encode(JSON.stringify(payload)),
  payloadIsJson: true,
  options: value(readItemOptions(options)),
});

export function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.error.code}: ${result.error.message}`);
  return result.value;
}
