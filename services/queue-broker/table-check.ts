import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import type { Log } from '#shared/runtime/log.ts';
import { nothingApplied } from './core/applied.ts';
import { type ItemStore, type StoredPosition, tableVersion } from './item-store.ts';
import type { LogDescription, PartitionLog } from './partition-log.ts';
import type { Partition } from './partition.ts';
import { markOf } from './record-mark.ts';
import type { Manifest } from './snapshot-format.ts';
import { SnapshotFault, type SnapshotStore } from './snapshot-store.ts';
import { countingSnapshots, loadSnapshot, readManifest } from './snapshots.ts';

export interface CheckOptions {
  readonly partition: number;
  readonly log: Log;
  readonly records: PartitionLog;
  readonly store: ItemStore;
  readonly snapshots: SnapshotStore;
}

/**
 * Checks that the rows belong to the log: they may be behind it, never ahead of it, and never of another log.
 * Throws a sentence that says what does not fit and what to do.
 */
export async function checkTable(options: CheckOptions, log: LogDescription): Promise<void> {
  const { partition, records, store } = options;
  const stored = store.position();
  if (stored === undefined) return;
  const place = `partition ${partition}`;
  if ((stored.version ?? 1) > tableVersion) {
    throw new StartRefused(
      exitCodes.missingPart,
      `${place}: the table has version ${stored.version}, this broker reads ${tableVersion}: start a newer broker`,
    );
  }
  // A table that is being loaded is replaced, whatever it holds.
  if (stored.loading === true) return;
  if (stored.logIdentity !== log.identity) {
    throw new Error(
      `${place}: the table belongs to a log made at ${stored.logIdentity}, the log was made at ${log.identity}. ` +
        `Restore the stream, or move the table's folder away to begin from this log (docs/operations.md)`,
    );
  }
  const applied = stored.applied.sequence;
  if (applied > log.lastSequence) {
    throw new Error(
      `${place}: the table has applied record ${applied}, the log ends at ${log.lastSequence}: the log lost its tail. ` +
        `Restore the stream, or move the table's folder away to begin from this log (docs/operations.md)`,
    );
  }
  if (await differs(stored, records)) {
    throw new Error(
      `${place}: record ${applied} of the log is not the one that the table has applied: the log was restored from a ` +
        `backup and went on from there. Restore the stream that the table belongs to, or move the table's folder ` +
        `away to begin from this log (docs/operations.md)`,
    );
  }
}

/** True when the log holds another record than the one that was applied: it was restored and has gone on since. */
export async function differs(
  { applied, mark }: Pick<StoredPosition, 'applied' | 'mark'>,
  records: PartitionLog,
): Promise<boolean> {
  if (mark === undefined) return false;
  const record = await records.at(applied.sequence);
  return record !== undefined && markOf(record) !== mark;
}

/**
 * The sentence that says why the log is not the one that this owner has appended to, or undefined.
 * No record may be under way.
 */
export async function checkGrown(partition: Partition): Promise<string | undefined> {
  const { table, gauge, logIdentity, records } = partition;
  const { applied } = table;
  const { mark } = gauge;
  const log = await records.describe();
  if (log.identity !== logIdentity)
    return `the log was made at ${log.identity}, the one before at ${logIdentity}`;
  if (log.lastSequence < applied.sequence)
    return `the log ends at ${log.lastSequence}, and ${applied.sequence} was appended already`;
  const isOther = await differs({ applied, ...(mark === undefined ? {} : { mark }) }, records);
  return isOther ? `record ${applied.sequence} of the log is not the one that was appended` : undefined;
}

/**
 * Where the log begins behind the end of the rows, or the rows are not whole, loads the newest snapshot that fits.
 * Throws when there is none: what lies between is gone.
 */
export async function bringWithinReach(options: CheckOptions, log: LogDescription): Promise<void> {
  const { partition, store } = options;
  const stored = store.position();
  const isWhole = stored?.loading !== true;
  const applied = isWhole ? (stored?.applied.sequence ?? 0) : 0;
  if (log.firstSequence <= applied + 1) {
    if (!isWhole) await store.clear({ applied: nothingApplied, logIdentity: log.identity });
    return;
  }
  const faults = new Map<string, string>();
  for (;;) {
    // Listed anew each time: whoever owns the partition may have replaced them meanwhile.
    const known = countingSnapshots(await options.snapshots.list(), log.identity);
    const name = known.find(({ snapshot }) => !faults.has(snapshot))?.snapshot;
    if (name === undefined) break;
    try {
      const { counts, applied: position } = await loadOne(options, name, log);
      options.log.warn(
        { partition, snapshot: name, counts, sequence: position.sequence, tableEndedAt: applied },
        'the log begins behind the end of the table: the snapshot was loaded, the log follows it',
      );
      return;
    } catch (error) {
      if (!(error instanceof SnapshotFault)) throw error;
      options.log.error({ err: error, partition, snapshot: name }, 'a snapshot cannot be used');
      faults.set(name, error.message);
    }
  }
  const said = [...faults].map(([name, fault]) => `${name}: ${fault}`);
  const why = said.length === 0 ? 'there is no snapshot of this log' : said.join('; ');
  throw new Error(
    `partition ${partition}: the log begins at ${log.firstSequence}, the table ends at ${applied}: what lies between ` +
      `is gone, and no snapshot closes the gap (${why}). Restore the table's folder, the snapshots or the stream ` +
      `(docs/operations.md)`,
  );
}

async function loadOne(options: CheckOptions, name: string, log: LogDescription): Promise<Manifest> {
  const { snapshots, store, records } = options;
  const manifest = await readManifest(snapshots, name);
  const { sequence } = manifest.applied;
  if (log.firstSequence > sequence + 1)
    throw new SnapshotFault(`it ends at ${sequence}, the log begins at ${log.firstSequence}`);
  if (sequence > log.lastSequence)
    throw new SnapshotFault(`it ends at ${sequence}, the log ends at ${log.lastSequence}`);
  if (await differs(manifest, records))
    throw new SnapshotFault(`record ${sequence} of the log is not the one that it ends with`);
  await loadSnapshot(store, snapshots, manifest);
  return manifest;
}
