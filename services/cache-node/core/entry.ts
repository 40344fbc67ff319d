import { type Encoding, json } from '#shared/protocol/encoding.ts';
import { cacheEntryOverheadBytes } from '#shared/protocol/limits.ts';
import type { Encoded } from '#shared/protocol/splice.ts';

/** A value as it came in: a reply in the same encoding carries it without looking inside. */
export interface StoredValue {
  readonly encoding: Encoding;
  readonly encoded: Encoded;
  readonly sizeBytes: number;
}

export interface Entry {
  readonly key: string;
  readonly value: StoredValue;
  readonly version: number;
  /** When it is no longer served; Infinity when it stays. */
  readonly expiresAtMs: number;
  /** What a hit extends the entry by; 0 when hits do not extend it. */
  readonly slidingMs: number;
  /** What the quota counts: key, value and the overhead of an entry. */
  readonly sizeBytes: number;
}

export const entrySize = (key: string, value: StoredValue): number =>
  Buffer.byteLength(key) + value.sizeBytes + cacheEntryOverheadBytes;

/** At its very millisecond an entry is expired: never served late is what matters. */
export const isExpired = (entry: Entry, nowMs: number): boolean => nowMs >= entry.expiresAtMs;

/** A counter as a stored value: digits are JSON and cost nothing to splice. */
export function storedInteger(value: number): StoredValue {
  const encoded = String(value);
  return { encoding: json, encoded, sizeBytes: encoded.length };
}
