import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Applied } from './core/applied.ts';
import type { StoredPosition, StoredRow } from './item-store.ts';
import { RowReader, RowWriter } from './row-bytes.ts';
import { SnapshotFault } from './snapshot-store.ts';

// A snapshot is a manifest and numbered parts, each an object of its own, so that neither writer nor reader holds
// more than one part. The manifest is written last, after the parts were read back: where it is, the snapshot counts.

/** The version of the format. A newer broker reads older ones; an older one refuses newer ones. */
const snapshotVersion = 1;

/** How many rows of each kind. */
export type RowCounts = Readonly<Record<StoredRow['kind'], number>>;

export interface Part {
  readonly bytes: number;
  readonly checksum: number;
}

export interface Manifest {
  readonly version: 1;
  readonly partition: number;
  readonly logIdentity: string;
  readonly applied: Applied;
  /** Mark of the record at `applied.sequence`. */
  readonly mark?: string;
  /** Epoch milliseconds. */
  readonly takenAt: number;
  readonly counts: RowCounts;
  readonly parts: readonly Part[];
}

export const noRows = (): Record<StoredRow['kind'], number> => ({ item: 0, payload: 0, key: 0, record: 0 });

/** Bytes of all parts. */
export const snapshotBytes = ({ parts }: Manifest): number =>
  parts.reduce((sum, part) => sum + part.bytes, 0);

/** Name of a snapshot: by log, place in the log, and the epoch of who took it. Names of one log sort by their age. */
export const snapshotName = (logIdentity: string, applied: Pick<Applied, 'sequence' | 'epoch'>): string =>
  `${logIdentity}/${digits(applied.sequence)}-${digits(applied.epoch)}`;

export const manifestName = (snapshot: string): string => `${snapshot}/manifest`;

export const partName = (snapshot: string, part: number): string => `${snapshot}/part-${digits(part)}`;

/** What an object's name says, or undefined for a name that is not one of ours. */
export function readName(name: string): ObjectName | undefined {
  const match = /^(.+)\/([0-9]{16})-([0-9]{16})\/(manifest|part-[0-9]{16})$/.exec(name);
  if (match === null) return undefined;
  const [, logIdentity = '', sequence, epoch, object] = match;
  return {
    snapshot: name.slice(0, name.lastIndexOf('/')),
    logIdentity,
    sequence: Number(sequence),
    epoch: Number(epoch),
    isManifest: object === 'manifest',
  };
}

export interface ObjectName {
  readonly snapshot: string;
  readonly logIdentity: string;
  readonly sequence: number;
  readonly epoch: number;
  readonly isManifest: boolean;
}

const digits = (value: number): string => String(value).padStart(16, '0');

const kinds = ['item', 'payload', 'key', 'record'] as const;
/** Stands where the next row's kind would. */
const endOfPart = 0;

/** Gathers rows into the bytes of one part. */
export class PartWriter {
  readonly #writer = new RowWriter();
  #bytes = 0;

  constructor() {
    this.#begin();
  }

  /** Bytes of the rows so far, roughly. */
  get size(): number {
    return this.#bytes;
  }

  add(row: StoredRow): void {
    const writer = this.#writer;
    writer.uint(kinds.indexOf(row.kind) + 1);
    switch (row.kind) {
      case 'item':
      case 'payload':
        writer.uint(row.order);
        return this.#addBytes(row.bytes);
      case 'key':
        writer.text(row.queue);
        writer.text(row.key);
        writer.uint(row.entry.order);
        writer.uint(row.entry.until);
        this.#bytes += row.queue.length + row.key.length + rowOverhead;
        return undefined;
      case 'record':
        writer.text(row.key);
        return this.#addBytes(row.bytes);
    }
  }

  /** The part as it is written, and begins the next one. */
  take(): { readonly bytes: Uint8Array; readonly part: Part } {
    this.#writer.uint(endOfPart);
    const bytes = this.#writer.end();
    this.#begin();
    return { bytes, part: { bytes: bytes.length, checksum: crc32(bytes) } };
  }

  #begin(): void {
    this.#writer.begin();
    this.#writer.uint(snapshotVersion);
    this.#bytes = 0;
  }

  #addBytes(bytes: Uint8Array): void {
    this.#writer.bytes(bytes);
    this.#bytes += bytes.length + rowOverhead;
  }
}

const rowOverhead = 12;

/** Reads one part. Throws `SnapshotFault` when it is not the one that the manifest names. */
export function readPart(bytes: Uint8Array, { bytes: length, checksum }: Part): readonly StoredRow[] {
  if (bytes.length !== length)
    throw new SnapshotFault(`a part has ${bytes.length} bytes, it should have ${length}`);
  if (crc32(bytes) !== checksum) throw new SnapshotFault('the checksum of a part is wrong');
  const reader = new RowReader(bytes);
  assertVersion(reader.uint());
  const rows: StoredRow[] = [];
  for (let kind = reader.uint(); kind !== endOfPart; kind = reader.uint()) rows.push(readRow(reader, kind));
  return rows;
}

function readRow(reader: RowReader, number: number): StoredRow {
  const kind = kinds[number - 1];
  if (kind === undefined) throw new SnapshotFault(`a part holds a row of kind ${number}`);
  switch (kind) {
    case 'item':
    case 'payload':
      return { kind, order: reader.uint(), bytes: reader.bytes() };
    case 'key':
      return {
        kind,
        queue: reader.text(),
        key: reader.text(),
        entry: { order: reader.uint(), until: reader.uint() },
      };
    case 'record':
      return { kind, key: reader.text(), bytes: reader.bytes() };
  }
}

/** A line of JSON, so that people can read it, below the checksum of that line. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  const text = JSON.stringify(manifest);
  return Buffer.from(`${sha256(text)}\n${text}\n`);
}

/** Throws `SnapshotFault` on a manifest that is damaged, or newer than this broker. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const [checksum, text = ''] = Buffer.from(bytes).toString().split('\n');
  if (sha256(text) !== checksum) throw new SnapshotFault('the checksum of the manifest is wrong');
  const manifest = JSON.parse(text) as Manifest;
  assertVersion(manifest.version);
  return manifest;
}

function assertVersion(version: number): void {
  if (version !== snapshotVersion)
    throw new SnapshotFault(`it has version ${version}, this broker reads ${snapshotVersion}`);
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Where the table stands that a snapshot was taken of. */
export const positionOf = ({ applied, logIdentity, mark }: Manifest): StoredPosition => ({
  applied,
  logIdentity,
  ...(mark === undefined ? {} : { mark }),
});
