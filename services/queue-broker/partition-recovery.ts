import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { nothingApplied } from './core/applied.ts';
import type { Fence } from './core/facts.ts';
import { PartitionTable } from './core/partition-table.ts';
import type { QueueSettings } from './core/queue-settings.ts';
import type { TransitionTable } from './core/transition-table.ts';
import { decodeBatch, decodeFence, encodeFence } from './fact-codec.ts';
import type { ItemStore, StoredPosition } from './item-store.ts';
import {
  FencedError,
  type LogDescription,
  LogGapError,
  type LogRecord,
  type PartitionLog,
} from './partition-log.ts';
import { markOf } from './record-mark.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import { bringWithinReach, checkTable } from './table-check.ts';

/** What a partition stands on, in recovery and after it. */
export interface PartitionParts {
  readonly partition: number;
  /** Name of this broker: it stands in the fences. */
  readonly broker: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly records: PartitionLog;
  readonly store: ItemStore;
}

export interface RecoveryOptions extends PartitionParts {
  readonly snapshots: SnapshotStore;
  readonly transitions: TransitionTable;
  /** Of queues that were never configured. */
  readonly defaults: QueueSettings;
}

export interface Recovered {
  readonly table: PartitionTable;
  readonly logIdentity: string;
  readonly logBytes: number;
  readonly logBytesMax: number;
  /** What the log's last record is known by. */
  readonly mark: string | undefined;
}

/** Changes that are stored at once while a long log is replayed. */
const replayedChangesMax = 20_000;

/**
 * Takes a partition: raises the fence, loads the rows (or, where the log does not reach back to them, a snapshot) and
 * replays the log behind them up to the fence.
 * Throws when rows and log do not belong together: it would rather not serve than skip something silently.
 */
export async function recoverPartition(options: RecoveryOptions): Promise<Recovered> {
  const { records, clock, broker } = options;
  const before = await records.describe();
  await checkTable(options, before);
  const fence: Fence = { version: 1, broker, at: clock.nowMs() };
  const epoch = await records.raiseFence(encodeFence(fence), before.lastFence);
  // Described again: before the fence its owner might have purged the log further.
  const log = await records.describe();
  const { table, mark } = await rebuild(options, log, epoch);
  if (table.applied.epoch > epoch)
    throw new FencedError(`fence ${table.applied.epoch} was raised while this broker took the partition`);
  if (table.applied.epoch !== epoch) {
    throw new Error(
      `partition ${options.partition}: the log's last fence is ${table.applied.epoch}, not ours (${epoch})`,
    );
  }
  return {
    table,
    logIdentity: before.identity,
    logBytes: log.bytes,
    logBytesMax: log.bytesMax,
    mark,
  };
}

/** The table as it is at the fence. A purge that a former owner had under way may fall into this: then once more. */
async function rebuild(
  options: RecoveryOptions,
  log: LogDescription,
  epoch: number,
): Promise<{ table: PartitionTable; mark: string | undefined }> {
  try {
    await bringWithinReach(options, log);
    const stored = options.store.position();
    const table = loadTable(options, stored);
    const replay: Replay = { ...options, table, logIdentity: log.identity, mark: stored?.mark };
    await replayLog(replay, epoch);
    return { table, mark: replay.mark };
  } catch (error) {
    const now = await options.records.describe();
    // What is missing may have been removed by the next owner, rightly.
    if (now.lastFence > epoch)
      throw new FencedError(`fence ${now.lastFence} was raised meanwhile`, { cause: error });
    if (!(error instanceof LogGapError) || now.firstSequence <= log.firstSequence) throw error;
    return rebuild(options, now, epoch);
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
  /** Of the last record that was applied. */
  mark: string | undefined;
}

async function replayLog(replay: Replay, to: number): Promise<void> {
  const { records, table } = replay;
  // Read in stretches, so that a long log is stored as it is replayed and memory stays flat.
  const stretch = 1_000;
  for (let from = table.appliedSequence + 1; from <= to; from += stretch) {
    await records.read(from, Math.min(to, from + stretch - 1), (record) => {
      applyRecord(replay, record);
      replay.mark = markOf(record);
    });
    table.takeEvents();
    if (table.changeCount > replayedChangesMax) await storeChanges(replay);
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
  const { logIdentity, mark } = options;
  await options.store.commit(changes, { applied, logIdentity, ...(mark === undefined ? {} : { mark }) });
  options.table.stored();
}
