import { type Encoding, json } from '#shared/protocol/encoding.ts';
import { cacheEntryOverheadBytes } from '#shared/protocol/limits.ts';

/**
 * A value as it is kept: a reply in the same encoding carries it without looking inside. The bytes may be a view of
 * the store's memory, good only until the next call of the namespace: whoever keeps them copies them.
 */
export interface StoredValue {
  readonly encoding: Encoding;
  readonly bytes: Uint8Array;
  /** Bytes before compression; 0: it is not compressed. */
  readonly rawBytes: number;
}

/** An entry with everything that is kept of it, as a tier below writes it and a hand-over sends it. */
export interface Entry {
  readonly key: string;
  readonly value: StoredValue;
  /** Grows with every write of any key, on any node: of two entries of one key the higher one is true. */
  readonly version: number;
  readonly createdAtMs: number;
  /** When its ttl is over; Infinity when it has none. */
  readonly expiresAtMs: number;
  /** What a hit extends the ttl by; 0: hits do not. */
  readonly slidingMs: number;
  /** How long after `expiresAtMs` it may still be served as stale. */
  readonly graceMs: number;
  readonly tags: readonly string[];
  /** How long its last fill took, in milliseconds; 0: not known. */
  readonly fillMs: number;
}

/** What the quota counts: key, value and the overhead of an entry. */
export const entrySize = (key: string, value: StoredValue): number =>
  Buffer.byteLength(key) + value.bytes.length + cacheEntryOverheadBytes;

/** At its very millisecond an entry is expired: never served late is what matters. */
export const isExpired = (entry: Entry, nowMs: number): boolean => nowMs >= entry.expiresAtMs;

/** Past its grace, too. */
export const isGone = (entry: Entry, nowMs: number): boolean => nowMs >= entry.expiresAtMs + entry.graceMs;

/** A counter as a stored value: digits are JSON and cost nothing to splice. */
export const storedInteger = (value: number): StoredValue => ({
  encoding: json,
  bytes: Buffer.from(String(value)),
  rawBytes: 0,
});
