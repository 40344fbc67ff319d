import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { unpackRecord } from '#shared/runtime/record-codec.ts';
import { type Changes, emptyChanges } from './core/overlay.ts';
import { decodeItem } from './item-codec.ts';
import type { ItemStore, StoreView, StoredRow } from './item-store.ts';
import {
  type Manifest,
  type ObjectName,
  type Part,
  PartWriter,
  type RowCounts,
  decodeManifest,
  encodeManifest,
  manifestName,
  noRows,
  partName,
  positionOf,
  readName,
  readPart,
  snapshotName,
} from './snapshot-format.ts';
import { SnapshotFault, type SnapshotStore } from './snapshot-store.ts';

/** Bytes of one part: what one look at the event loop costs. */
const partBytes = 1_048_576;
/** Parts on their way at a time, and in memory: each question to NATS waits for its turn in a busy broker. */
const partsAtOnce = 4;

/** How long rows are read before others come to their turn. */
const stretchMs = 4;

export interface WriteOptions {
  readonly partition: number;
  readonly view: StoreView;
  readonly snapshots: SnapshotStore;
  readonly clock: Clock;
}

/**
 * Writes a snapshot of the view, reads it back, and then makes it count. Requests are decided all the while.
 * Throws `SnapshotFault` when what is read back is not what was written.
 */
export async function writeSnapshot(options: WriteOptions): Promise<Manifest> {
  const { partition, view, snapshots, clock } = options;
  if (view.position === undefined) throw new Error('a table without a position has no snapshot');
  const { applied, logIdentity, mark } = view.position;
  const name = snapshotName(logIdentity, applied);
  const { parts, counts } = await writeParts(name, options);
  const manifest: Manifest = {
    version: 1,
    partition,
    logIdentity,
    applied,
    ...(mark === undefined ? {} : { mark }),
    takenAt: clock.nowMs(),
    counts,
    parts,
  };
  await readSnapshot(snapshots, manifest);
  await snapshots.put(manifestName(name), encodeManifest(manifest));
  const readBack = await readManifest(snapshots, name);
  if (JSON.stringify(readBack) !== JSON.stringify(manifest))
    throw new SnapshotFault('the manifest is read back as another one');
  return manifest;
}

async function writeParts(
  name: string,
  { view, snapshots, clock }: WriteOptions,
): Promise<{ parts: readonly Part[]; counts: RowCounts }> {
  const writer = new PartWriter();
  const parts: Part[] = [];
  let sinceMs = clock.monotonicMs();
  const counts = noRows();
  let underWay: Promise<void>[] = [];
  const put = async () => {
    const { bytes, part } = writer.take();
    const putting = snapshots.put(partName(name, parts.length), bytes);
    // Its failure is met with the others', below; should the rows fail before that, nobody asks any more.
    putting.catch(() => undefined);
    underWay.push(putting);
    parts.push(part);
    if (underWay.length >= partsAtOnce) await finish();
  };
  const finish = async () => {
    await Promise.all(underWay);
    underWay = [];
  };
  for await (const rows of view.rows()) {
    for (const row of rows) {
      writer.add(row);
      counts[row.kind] += 1;
    }
    if (writer.size >= partBytes) await put();
    if (clock.monotonicMs() - sinceMs < stretchMs) continue;
    // Requests are decided in between: a timer, since a promise alone would let nobody in.
    await sleep(clock, 0);
    sinceMs = clock.monotonicMs();
  }
  await put();
  await finish();
  return { parts, counts };
}

/**
 * Reads a snapshot part by part, and checks it against its manifest.
 * Throws `SnapshotFault` at the first thing that is not as it should be.
 */
async function readSnapshot(
  snapshots: SnapshotStore,
  manifest: Manifest,
  take: (rows: readonly StoredRow[]) => Promise<void> | void = () => undefined,
): Promise<void> {
  const name = snapshotName(manifest.logIdentity, manifest.applied);
  const counts = noRows();
  for (let at = 0; at < manifest.parts.length; at += partsAtOnce) {
    const some = manifest.parts.slice(at, at + partsAtOnce);
    const read = await Promise.all(some.map((_, index) => snapshots.get(partName(name, at + index))));
    for (const [index, part] of some.entries()) {
      const bytes = read[index];
      if (bytes === undefined)
        throw new SnapshotFault(`part ${at + index + 1} of ${manifest.parts.length} is missing`);
      const rows = readPart(bytes, part);
      for (const row of rows) counts[row.kind] += 1;
      await take(rows);
    }
  }
  for (const kind of ['item', 'payload', 'key', 'record'] as const) {
    if (counts[kind] !== manifest.counts[kind])
      throw new SnapshotFault(`it holds ${counts[kind]} rows of kind ${kind}, not ${manifest.counts[kind]}`);
  }
}

/** Throws `SnapshotFault` when there is none that can be read. */
export async function readManifest(snapshots: SnapshotStore, name: string): Promise<Manifest> {
  const bytes = await snapshots.get(manifestName(name));
  if (bytes === undefined) throw new SnapshotFault('the manifest is gone');
  const manifest = decodeManifest(bytes);
  if (snapshotName(manifest.logIdentity, manifest.applied) !== name)
    throw new SnapshotFault('the manifest belongs to another snapshot');
  return manifest;
}

/** The names of the snapshots of one log that count, the newest first. */
export const countingSnapshots = (names: readonly string[], logIdentity: string): readonly ObjectName[] =>
  names
    .map(readName)
    .filter((name) => name !== undefined && name.isManifest && name.logIdentity === logIdentity)
    .filter((name) => name !== undefined)
    .toSorted((a, b) => b.sequence - a.sequence || b.epoch - a.epoch);

/**
 * Replaces everything in the store by a snapshot. Until it is whole the store's position says that it is loading;
 * whoever finds that at a start begins anew.
 * Throws `SnapshotFault` when the snapshot is not whole; then the store is neither.
 */
export async function loadSnapshot(
  store: ItemStore,
  snapshots: SnapshotStore,
  manifest: Manifest,
): Promise<void> {
  const position = positionOf(manifest);
  const loading = { ...position, loading: true } as const;
  await store.clear(loading);
  await readSnapshot(snapshots, manifest, (rows) => store.commit(changesOf(rows), loading));
  await store.commit(emptyChanges(), position);
  await store.flushed();
}

function changesOf(rows: readonly StoredRow[]): Changes {
  const changes = emptyChanges();
  for (const row of rows) {
    if (row.kind === 'item') changes.items.set(row.order, decodeItem(row.bytes));
    else if (row.kind === 'payload') changes.payloads.set(row.order, row.bytes);
    else if (row.kind === 'record') changes.records.set(row.key, unpackRecord(row.bytes) as object);
    else changes.dedup.set(`${row.queue}\u0000${row.key}`, row);
  }
  return changes;
}

/** The manifest, or undefined where there is none that can be read. */
export async function manifestOrNone(snapshots: SnapshotStore, name: string): Promise<Manifest | undefined> {
  try {
    return await readManifest(snapshots, name);
  } catch (error) {
    if (error instanceof SnapshotFault) return undefined;
    throw error;
  }
}
