import { type Encoding, json, msgpack } from '#shared/protocol/encoding.ts';
import { cacheEntryOverheadBytes } from '#shared/protocol/limits.ts';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Row } from './backend.ts';
import type { EntryRecord } from './core/residence.ts';

// A row is a list whose first element is the version of its form: what is added goes to the end.
const formVersion = 1;

type RowForm = readonly [
  form: number,
  encoding: 0 | 1,
  rawBytes: number,
  version: number,
  createdAtMs: number,
  expiresAtMs: number,
  slidingMs: number,
  graceMs: number,
  tags: readonly string[],
  fillMs: number,
  value: Uint8Array,
];

/** An entry as a backend keeps it. The value is copied. */
export function encodeRow(record: EntryRecord): Row {
  const { value, expiresAtMs, graceMs } = record;
  const form: RowForm = [
    formVersion,
    value.encoding === json ? 0 : 1,
    value.rawBytes,
    record.version,
    record.createdAtMs,
    expiresAtMs,
    record.slidingMs,
    graceMs,
    record.tags,
    record.fillMs,
    value.bytes,
  ];
  const packed = packRecord(form);
  return {
    bytes: Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength),
    endsAtMs: expiresAtMs + graceMs,
    sizeBytes: Buffer.byteLength(record.key) + value.bytes.byteLength + cacheEntryOverheadBytes,
  };
}

/** The entry of a row; undefined for one that another version wrote: a cache may forget. */
export function decodeRow(key: string, bytes: Buffer): EntryRecord | undefined {
  const [
    form,
    encoding,
    rawBytes,
    version,
    createdAtMs,
    expiresAtMs,
    slidingMs,
    graceMs,
    tags,
    fillMs,
    value,
  ] = unpackRecord(bytes) as RowForm;
  if (form !== formVersion) return undefined;
  const valueEncoding: Encoding = encoding === 0 ? json : msgpack;
  return {
    key,
    value: { encoding: valueEncoding, bytes: value, rawBytes },
    version,
    createdAtMs,
    expiresAtMs,
    slidingMs,
    graceMs,
    tags,
    fillMs,
  };
}
