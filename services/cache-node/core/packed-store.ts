import type { CacheStrategy } from '#shared/protocol/cache-schemas.ts';
import { cacheEntryOverheadBytes } from '#shared/protocol/limits.ts';
import type { Entry } from './entry.ts';
import type { EntryStore, EntryTimes, Page, PageQuery } from './entry-store.ts';
import { type EvictionPolicy, evictionPolicy } from './eviction-policy.ts';
import { ExpiryHeap } from './expiry-heap.ts';
import { HashIndex } from './hash-index.ts';
import { RecordView, recordShape, writeRecord } from './record.ts';
import { RecordArena, byteOf } from './record-arena.ts';
import { intColumn } from './slot-column.ts';
import { TagTable } from './tag-table.ts';

const cursorExpression = /^[0-9a-z]{1,7}$/;
const none = -1;

/**
 * Entries in memory, but outside the JavaScript heap: keys and values in an arena, the index and all orders in arrays
 * over slots, so that the garbage collector has next to nothing to look at, however many entries there are.
 *
 * Each entry has a numbered slot for as long as it lives, also when it is replaced or its record moves: a page of keys
 * goes on at a slot, so it neither skips nor repeats a key that stayed.
 */
export class PackedStore implements EntryStore {
  readonly #hash: (key: string) => number;
  readonly #hashes = intColumn();
  /** Where each slot's record is; 0 for a free slot, else the address plus one, as an unsigned integer. */
  readonly #addresses = intColumn();
  readonly #index = new HashIndex(this.#hashes);
  readonly #arena = new RecordArena((slot, address) => this.#addresses.set(slot, address + 1));
  readonly #expiry = new ExpiryHeap();
  readonly #tags = new TagTable();
  readonly #view = new RecordView();
  /** Free slots, as a stack. */
  readonly #free = intColumn();
  #freeCount = 0;
  #policy: EvictionPolicy;
  #slots = 0;
  #bytes = 0;
  /** The last key that was looked up, and its slot: a verb often follows another one on the same key. */
  #lastKey: string | undefined;
  #lastSlot = none;
  #sought = '';

  /** @param hash to integers in [0, 2^32) */
  constructor(hash: (key: string) => number, strategy: CacheStrategy) {
    this.#hash = hash;
    this.#policy = evictionPolicy(strategy);
  }

  get entries(): number {
    return this.#slots - this.#freeCount;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get tags(): number {
    return this.#tags.size;
  }

  get isFull(): boolean {
    return this.#arena.isFull;
  }

  get overheadBytes(): number {
    const parts = [this.#hashes, this.#addresses, this.#index, this.#arena, this.#expiry, this.#free];
    const held = parts.reduce((sum, part) => sum + part.bytes, this.#policy.bytes);
    return held - (this.#bytes - this.entries * cacheEntryOverheadBytes);
  }

  get(key: string): Entry | undefined {
    const slot = this.#find(key);
    return slot === none ? undefined : this.#entryAt(slot, key);
  }

  sizeOf(key: string): number {
    const slot = this.#find(key);
    return slot === none ? 0 : this.#sizeAt(slot);
  }

  put(entry: Entry): void {
    const shape = recordShape(entry);
    const tagIds = entry.tags.map((tag) => this.#tags.hold(tag));
    let slot = this.#find(entry.key);
    const size = shape.keyBytes + entry.value.bytes.length + cacheEntryOverheadBytes;
    if (slot === none) {
      slot = this.#addSlot(entry.key);
      this.#policy.add(slot, this.#hashOf(slot), size);
      this.#addresses.set(slot, this.#arena.allocate(slot, shape.size) + 1);
    } else {
      this.#bytes -= this.#sizeAt(slot);
      for (const id of this.#view.tagIds()) this.#tags.release(id);
      this.#policy.use(slot, this.#hashOf(slot));
      this.#policy.reweigh(slot, size);
      this.#refit(slot, shape.size);
    }
    const address = this.#addressOf(slot);
    writeRecord(this.#arena.segmentOf(address), byteOf(address), { entry, shape, tagIds });
    this.#bytes += size;
    this.#expiry.set(slot, entry.expiresAtMs + entry.graceMs);
  }

  use(key: string): void {
    const slot = this.#find(key);
    if (slot !== none) this.#policy.use(slot, this.#hashOf(slot));
  }

  retime(key: string, times: EntryTimes): void {
    const slot = this.#find(key);
    if (slot === none) return;
    const view = this.#viewOf(slot);
    if (view.retime(times)) this.#expiry.set(slot, times.expiresAtMs + view.graceMs);
    else {
      const { expiresAtMs, slidingMs, version } = times;
      this.put({ ...copyOf(this.#entryAt(slot, key)), expiresAtMs, slidingMs, version });
    }
  }

  remove(key: string): void {
    const slot = this.#find(key);
    if (slot === none) return;
    this.#policy.remove(slot);
    this.#drop(slot);
  }

  victim(): string | undefined {
    return this.#keyAt(this.#policy.victim());
  }

  evict(key: string): void {
    const slot = this.#find(key);
    if (slot === none) return;
    this.#policy.evict(slot, this.#hashOf(slot));
    this.#drop(slot);
  }

  due(nowMs: number): string | undefined {
    const slot = this.#expiry.earliest();
    return slot !== undefined && this.#expiry.dueMs(slot) <= nowMs ? this.#keyAt(slot) : undefined;
  }

  evictBy(strategy: CacheStrategy): void {
    const policy = evictionPolicy(strategy);
    for (const slot of this.#policy.slots()) policy.add(slot, this.#hashOf(slot), this.#sizeAt(slot));
    this.#policy = policy;
  }

  tagVersion(tag: string): number {
    return this.#tags.version(tag);
  }

  hasTag(tag: string): boolean {
    return this.#tags.has(tag);
  }

  invalidateTag(tag: string, version: number): boolean {
    return this.#tags.invalidate(tag, version);
  }

  tidy(): void {
    this.#arena.tidy();
  }

  page(query: PageQuery): Page | undefined {
    if (query.cursor !== undefined && !cursorExpression.test(query.cursor)) return undefined;
    const first = query.cursor === undefined ? 0 : Number.parseInt(query.cursor, 36);
    const end = Math.min(this.#slots, first + query.scanMax);
    let slot = first;
    for (; slot < end; slot += 1) {
      if (this.#addresses.get(slot) === 0) continue;
      const key = this.#viewOf(slot).key();
      if (query.wantedKey(key) && !query.take(this.#entryAt(slot, key))) break;
    }
    return slot < this.#slots ? { cursor: slot.toString(36) } : {};
  }

  #find(key: string): number {
    if (key === this.#lastKey) return this.#lastSlot;
    this.#sought = key;
    const slot = this.#index.find(this.#hash(key), this.#matches);
    this.#remember(key, slot);
    return slot;
  }

  readonly #matches = (slot: number): boolean => this.#viewOf(slot).hasKey(this.#sought);

  #remember(key: string, slot: number): void {
    this.#lastKey = key;
    this.#lastSlot = slot;
  }

  #addSlot(key: string): number {
    let slot = this.#slots;
    if (this.#freeCount === 0) this.#slots += 1;
    else {
      this.#freeCount -= 1;
      slot = this.#free.get(this.#freeCount);
    }
    const hash = this.#hash(key);
    this.#hashes.set(slot, hash);
    this.#index.add(hash, slot);
    this.#remember(key, slot);
    return slot;
  }

  /** Keeps the record where it is if the new one fits and wastes little; else it gets another place. */
  #refit(slot: number, size: number): void {
    const address = this.#addressOf(slot);
    const capacity = this.#arena.capacity(address);
    if (size <= capacity && size >= capacity * 0.75) return;
    this.#arena.free(address);
    this.#addresses.set(slot, this.#arena.allocate(slot, size) + 1);
  }

  #drop(slot: number): void {
    this.#bytes -= this.#sizeAt(slot);
    for (const id of this.#view.tagIds()) this.#tags.release(id);
    this.#index.remove(this.#hashes.get(slot), slot);
    this.#expiry.remove(slot);
    this.#arena.free(this.#addressOf(slot));
    this.#addresses.set(slot, 0);
    this.#free.set(this.#freeCount, slot);
    this.#freeCount += 1;
    this.#lastKey = undefined;
  }

  #keyAt(slot: number | undefined): string | undefined {
    if (slot === undefined) return undefined;
    const key = this.#viewOf(slot).key();
    this.#remember(key, slot);
    return key;
  }

  #sizeAt(slot: number): number {
    const view = this.#viewOf(slot);
    return view.keyBytes + view.valueBytes + cacheEntryOverheadBytes;
  }

  #entryAt(slot: number, key: string): Entry {
    return this.#viewOf(slot).entry(key, this.#expiry.dueMs(slot), this.#tagName);
  }

  readonly #tagName = (id: number): string => this.#tags.name(id);

  #viewOf(slot: number): RecordView {
    const address = this.#addressOf(slot);
    return this.#view.at(this.#arena.segmentOf(address), byteOf(address));
  }

  #hashOf(slot: number): number {
    return this.#hashes.get(slot) >>> 0;
  }

  #addressOf(slot: number): number {
    return (this.#addresses.get(slot) >>> 0) - 1;
  }
}

/** With a value of its own: a view would move under the one who writes it anew. */
export const copyOf = (entry: Entry): Entry => ({
  ...entry,
  value: { ...entry.value, bytes: new Uint8Array(entry.value.bytes) },
});
