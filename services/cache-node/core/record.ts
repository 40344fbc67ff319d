import { type Encoding, json, msgpack } from '#shared/protocol/encoding.ts';
import type { Entry } from './entry.ts';
import type { EntryTimes } from './entry-store.ts';
import type { Segment } from './record-arena.ts';

/*
 * How an entry lies in memory. The first two words are the arena's (owner, size); times are in the expiry heap.
 *
 *   word 2   bytes of the key (16 bits) | tags (8) | flags (8)
 *   word 3   bytes of the value
 *   double 2 version
 *   double 3 created at
 *   where the flag says so: double sliding, double grace, double expires at, word fill, word raw bytes
 *   tags, a word each; then the key in UTF-8, then the value
 */

const headBytes = 32;
const moreBytes = 32;
const asMsgpack = 0x01;
const hasMore = 0x02;
/** All characters of the key are ASCII: one byte each, so that keys are compared without decoding. */
const plainKey = 0x04;

/** The parts of an entry whose size must be known before there is room for it. */
export interface RecordShape {
  readonly size: number;
  readonly keyBytes: number;
  readonly flags: number;
}

const wordMax = 0xffff_ffff;

export function recordShape(entry: Entry): RecordShape {
  const keyBytes = Buffer.byteLength(entry.key);
  const more = entry.slidingMs > 0 || entry.graceMs > 0 || entry.fillMs > 0 || entry.value.rawBytes > 0;
  const flags =
    (entry.value.encoding === msgpack ? asMsgpack : 0) |
    (more ? hasMore : 0) |
    (keyBytes === entry.key.length ? plainKey : 0);
  const size =
    headBytes + (more ? moreBytes : 0) + 4 * entry.tags.length + keyBytes + entry.value.bytes.length;
  return { size, keyBytes, flags };
}

/**
 * Writes all but the arena's head.
 * @param at where the record begins in the segment, in bytes
 */
export function writeRecord(
  { bytes, words, doubles }: Segment,
  at: number,
  record: { readonly entry: Entry; readonly shape: RecordShape; readonly tagIds: readonly number[] },
): void {
  const { entry, shape, tagIds } = record;
  const word = at >>> 2;
  const double = at >>> 3;
  words[word + 2] = shape.keyBytes | (tagIds.length << 16) | (shape.flags << 24);
  words[word + 3] = entry.value.bytes.length;
  doubles[double + 2] = entry.version;
  doubles[double + 3] = entry.createdAtMs;
  let next = at + headBytes;
  if ((shape.flags & hasMore) !== 0) {
    doubles[double + 4] = entry.slidingMs;
    doubles[double + 5] = entry.graceMs;
    doubles[double + 6] = entry.expiresAtMs;
    words[word + 14] = Math.min(wordMax, Math.ceil(entry.fillMs));
    words[word + 15] = entry.value.rawBytes;
    next += moreBytes;
  }
  for (const id of tagIds) {
    words[next >>> 2] = id;
    next += 4;
  }
  if ((shape.flags & plainKey) !== 0)
    for (let index = 0; index < shape.keyBytes; index += 1) bytes[next + index] = entry.key.charCodeAt(index);
  else bytes.write(entry.key, next, shape.keyBytes, 'utf8');
  bytes.set(entry.value.bytes, next + shape.keyBytes);
}

/** A record that is there, read part by part. */
export class RecordView {
  #segment: Segment | undefined;
  #at = 0;

  /** Looks at another record. */
  at(segment: Segment, at: number): this {
    this.#segment = segment;
    this.#at = at;
    return this;
  }

  get #words(): Uint32Array {
    return (this.#segment as Segment).words;
  }

  #word(index: number): number {
    return this.#words[(this.#at >>> 2) + index] ?? 0;
  }

  #double(index: number): number {
    return (this.#segment as Segment).doubles[(this.#at >>> 3) + index] ?? 0;
  }

  get keyBytes(): number {
    return this.#word(2) & 0xffff;
  }

  get valueBytes(): number {
    return this.#word(3);
  }

  get #flags(): number {
    return this.#word(2) >>> 24;
  }

  get #tagCount(): number {
    return (this.#word(2) >>> 16) & 0xff;
  }

  get #tagsAt(): number {
    return this.#at + headBytes + ((this.#flags & hasMore) === 0 ? 0 : moreBytes);
  }

  get #keyAt(): number {
    return this.#tagsAt + 4 * this.#tagCount;
  }

  hasKey(key: string): boolean {
    const { bytes } = this.#segment as Segment;
    const start = this.#keyAt;
    if ((this.#flags & plainKey) === 0) return this.key() === key;
    if (key.length !== this.keyBytes) return false;
    for (let index = 0; index < key.length; index += 1)
      if (bytes[start + index] !== key.charCodeAt(index)) return false;
    return true;
  }

  key(): string {
    const { bytes } = this.#segment as Segment;
    const start = this.#keyAt;
    const end = start + this.keyBytes;
    return bytes.toString((this.#flags & plainKey) === 0 ? 'utf8' : 'latin1', start, end);
  }

  tagIds(): readonly number[] {
    const count = this.#tagCount;
    if (count === 0) return none;
    const first = this.#tagsAt >>> 2;
    return Array.from({ length: count }, (_, index) => this.#words[first + index] ?? 0);
  }

  /** @param goneAtMs when the expiry heap has it, Infinity when it has it not */
  entry(key: string, goneAtMs: number, tagName: (id: number) => string): Entry {
    const flags = this.#flags;
    const more = (flags & hasMore) !== 0;
    const valueAt = this.#keyAt + this.keyBytes;
    const encoding: Encoding = (flags & asMsgpack) === 0 ? json : msgpack;
    const memory = (this.#segment as Segment).memory;
    return {
      key,
      value: {
        encoding,
        bytes: memory.subarray(valueAt, valueAt + this.valueBytes),
        rawBytes: more ? this.#word(15) : 0,
      },
      version: this.#double(2),
      createdAtMs: this.#double(3),
      expiresAtMs: more ? this.#double(6) : goneAtMs,
      slidingMs: more ? this.#double(4) : 0,
      graceMs: more ? this.#double(5) : 0,
      tags: this.#tagCount === 0 ? none : this.tagIds().map(tagName),
      fillMs: more ? this.#word(14) : 0,
    };
  }

  /** Other times; false when the record has no room for them and must be written anew. */
  retime(times: EntryTimes): boolean {
    const { doubles } = this.#segment as Segment;
    if ((this.#flags & hasMore) === 0) {
      if (times.slidingMs > 0) return false;
      doubles[(this.#at >>> 3) + 2] = times.version;
      return true;
    }
    doubles[(this.#at >>> 3) + 2] = times.version;
    doubles[(this.#at >>> 3) + 4] = times.slidingMs;
    doubles[(this.#at >>> 3) + 6] = times.expiresAtMs;
    return true;
  }

  get graceMs(): number {
    return (this.#flags & hasMore) === 0 ? 0 : this.#double(5);
  }
}

const none: readonly never[] = [];
