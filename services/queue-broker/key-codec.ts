import { unpackRecord } from '#shared/runtime/record-codec.ts';
import type { DedupEntry } from './core/overlay.ts';
import { RowReader, RowWriter } from './row-bytes.ts';

// The row of an idempotency key: three numbers. MessagePack names its fields in every row, and takes ten times as
// long to read one; there may be millions.

/** Rows of version 1 are MessagePack, which begins with another byte. */
const rowVersion = 2;

const writer = new RowWriter();

export function encodeKey({ order, until }: DedupEntry): Buffer {
  writer.begin();
  writer.uint(rowVersion);
  writer.uint(order);
  writer.uint(until);
  return writer.end();
}

export function decodeKey(bytes: Uint8Array): DedupEntry {
  if (bytes[0] !== rowVersion) return unpackRecord(bytes) as DedupEntry;
  const row = new RowReader(bytes);
  row.uint();
  return { order: row.uint(), until: row.uint() };
}
