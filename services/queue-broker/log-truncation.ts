import type { Partition } from './partition.ts';
import { type ObjectName, partName, readName } from './snapshot-format.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import { countingSnapshots, manifestOrNone } from './snapshots.ts';

export interface Truncated {
  /** Where the log begins now; undefined when nothing could be purged. */
  readonly firstSequence: number | undefined;
  /** Objects of the snapshot store that were removed. */
  readonly removed: number;
}

/** How many snapshots are kept. */
const keptSnapshots = 2;

/**
 * Purges the log below the older one of the two newest snapshots, and removes the snapshots before them.
 *
 * It raises a new fence first: appends refer to the newest fence, so it must not be purged; and a former owner, which
 * cannot raise one, removes nothing. Should it lose the partition right after that, its purge is still harmless: the
 * snapshot that it purges below counts for everybody, and only newer ones ever replace it.
 * What is purged is in this broker's own table as well, on the disk: the caller has settled it.
 *
 * Snapshots may be of records that this log does not have: it was restored from an older copy, and they were not. What
 * was there before the fence, and ends behind it, is such a one; it goes before the log has grown past it.
 */
export async function truncateLog(partition: Partition, snapshots: SnapshotStore): Promise<Truncated> {
  const before = await snapshots.list();
  const epoch = await partition.renewFence();
  const lost = new Set(before.filter((name) => isLost(readName(name), partition, epoch)));
  const listed = await snapshots.list();
  const names = listed.filter((name) => !lost.has(name));
  const kept = await newestWhole(snapshots, names, partition.logIdentity);
  const older = kept.length === keptSnapshots ? kept.at(-1) : undefined;
  if (older !== undefined) await partition.purgeLog(older.sequence + 1);
  const rubbish = listed.filter(
    (name) => lost.has(name) || isRubbish(readName(name), { partition, kept, epoch }),
  );
  // Manifests first: what is removed by halves must not count.
  await snapshots.remove(rubbish.toSorted((a, b) => rank(a) - rank(b)));
  await snapshots.tidy();
  return {
    firstSequence: older === undefined ? undefined : older.sequence + 1,
    removed: rubbish.length,
  };
}

/** The newest snapshots that are there with all their parts; one that was removed by halves is none. */
async function newestWhole(
  snapshots: SnapshotStore,
  names: readonly string[],
  logIdentity: string,
): Promise<readonly ObjectName[]> {
  const there = new Set(names);
  const whole: ObjectName[] = [];
  for (const name of countingSnapshots(names, logIdentity)) {
    const manifest = await manifestOrNone(snapshots, name.snapshot);
    if (manifest === undefined) continue;
    if (!manifest.parts.every((_, index) => there.has(partName(name.snapshot, index)))) continue;
    whole.push(name);
    if (whole.length === keptSnapshots) break;
  }
  return whole;
}

const isLost = (name: ObjectName | undefined, { logIdentity }: Partition, fence: number): boolean =>
  name?.logIdentity === logIdentity && name.sequence >= fence;

/** What is older than the snapshots that are kept, or was never finished by this owner or one before it. */
function isRubbish(
  name: ObjectName | undefined,
  {
    partition,
    kept,
    epoch,
  }: { readonly partition: Partition; readonly kept: readonly ObjectName[]; readonly epoch: number },
): boolean {
  if (name === undefined || kept.some(({ snapshot }) => snapshot === name.snapshot)) return false;
  // Of another log: of use for as long as this one has nothing to show.
  if (name.logIdentity !== partition.logIdentity) return kept.length === keptSnapshots;
  return name.epoch <= epoch;
}

const rank = (name: string): number => (readName(name)?.isManifest === true ? 0 : 1);
