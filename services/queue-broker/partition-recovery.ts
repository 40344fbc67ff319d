import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { nothingApplied } from './core/applied.ts';
import type { Fence } from './core/facts.ts';
import { PartitionTable } from './core/partition-table.ts';
import type { QueueSettings } from './core/queue-settings.ts';
import type { TransitionTable } from './core/transition-table.ts';
import { decodeBatch, decodeFence, encodeFence } from './fact-codec.ts';
import type { ItemStore, StoredPosition } from './item-store.ts';
import type { LogDescription, LogRecord, PartitionLog } from './partition-log.ts';

export interface RecoveryOptions {
  readonly partition: number;
  readonly broker: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly records: PartitionLog;
  readonly store: ItemStore;
  readonly transitions: TransitionTable;
  /** Of queues that were never configured. */
  readonly defaults: QueueSettings;
}

export interface Recovered {
  readonly table: PartitionTable;
  readonly logIdentity: string;
  readonly logBytes: number;
  readonly logBytesMax: number;
}

/** Changes that are stored at once while a long log is replayed. */
const replayedChangesMax = 20_000;

/**
 * Takes a partition: raises the fence, loads the rows and replays the log behind them up to the fence.
 * Throws when rows and log do not belong together: it would rather not serve than skip something silently.
 */
export async function recoverPartition(options: RecoveryOptions): Promise<Recovered> {
  const { records, store, clock, broker } = options;
  const before = await records.describe();
  const stored = store.position();
  checkPositions(options.partition, stored, before);
  const fence: Fence = { version: 1, broker, at: clock.nowMs() };
  const epoch = await records.raiseFence(encodeFence(fence), before.lastFence);
  const table = loadTable(options, stored);
  await replay({
    ...options,
    table,
    logIdentity: before.identity,
    from: table.applied.sequence + 1,
    to: epoch,
  });
  if (table.applied.epoch !== epoch) {
    throw new Error(
      `partition ${options.partition}: the log's last fence is ${table.applied.epoch}, not ours (${epoch})`,
    );
  }
  return { table, logIdentity: before.identity, logBytes: before.bytes, logBytesMax: before.bytesMax };
}

/** The rows may be behind the log, never ahead of it, and never of another log. */
function checkPositions(partition: number, stored: StoredPosition | undefined, log: LogDescription): void {
  const applied = stored?.applied.sequence ?? 0;
  const place = `partition ${partition}`;
  if (stored !== undefined && stored.logIdentity !== log.identity) {
    throw new Error(
      `${place}: the table belongs to a log made at ${stored.logIdentity}, the log was made at ${log.identity}. ` +
        `Restore the stream, or move the table's folder away to begin from this log`,
    );
  }
  if (applied > log.lastSequence) {
    throw new Error(
      `${place}: the table has applied record ${applied}, the log ends at ${log.lastSequence}: the log lost its tail. ` +
        `Restore the stream, or move the table's folder away to begin from this log`,
    );
  }
  if (log.firstSequence > applied + 1 && log.lastSequence > 0) {
    throw new Error(
      `${place}: the log begins at ${log.firstSequence}, the table ends at ${applied}: what lies between is gone. ` +
        `Restore the table's folder or the stream`,
    );
  }
}

function loadTable(options: RecoveryOptions, stored: StoredPosition | undefined): PartitionTable {
  const { store, transitions, defaults } = options;
  const table = new PartitionTable({
    rows: store,
    transitions,
    defaults,
    applied: stored?.applied ?? nothingApplied,
  });
  for (const [key, value] of store.records()) table.loadRecord(key, value);
  for (const item of store.items()) table.load(item);
  table.loaded();
  return table;
}

interface Replay extends RecoveryOptions {
  readonly table: PartitionTable;
  readonly logIdentity: string;
  readonly from: number;
  readonly to: number;
}

async function replay(options: Replay): Promise<void> {
  // Read in stretches, so that a long log is stored as it is replayed and memory stays flat.
  const stretch = 1_000;
  for (let from = options.from; from <= options.to; from += stretch) {
    const to = Math.min(options.to, from + stretch - 1);
    await options.records.read(from, to, (record) => applyRecord(options, record));
    options.table.takeEvents();
    if (options.table.changeCount > replayedChangesMax) await storeChanges(options);
  }
}

/** Applies one record. One that does not carry the fence in force was written by a former owner: it never counts. */
export function applyRecord(options: Pick<Replay, 'table' | 'log' | 'partition'>, record: LogRecord): void {
  const { table, log, partition } = options;
  if (record.kind === 'foreign') {
    log.error(
      { partition, sequence: record.sequence },
      'a record that no broker wrote stands in the log and is skipped',
    );
    table.advance(record.sequence, table.applied.at);
    return;
  }
  if (record.kind === 'fence') {
    table.beginEpoch(record.sequence, decodeFence(record.data, record.sequence));
    return;
  }
  const batch = decodeBatch(record.data, record.sequence);
  if (batch.epoch === table.applied.epoch) {
    for (const fact of batch.facts) table.apply(fact, batch.at, record.sequence);
  } else {
    log.error(
      { partition, sequence: record.sequence, epoch: batch.epoch, inForce: table.applied.epoch },
      'a record of a former owner stands in the log and is skipped',
    );
  }
  table.advance(record.sequence, batch.at);
}

async function storeChanges(options: Replay): Promise<void> {
  const { changes, applied } = options.table.takeChanges();
  await options.store.commit(changes, { applied, logIdentity: options.logIdentity });
  options.table.stored();
}
