import type { Entry } from './entry.ts';
import type { EntryStore, Page, PageQuery } from './entry-store.ts';
import { ExpiryHeap } from './expiry-heap.ts';
import { LruOrder } from './lru-order.ts';

const cursorExpression = /^[0-9a-z]{1,7}$/;

/**
 * Entries in memory. Each has a numbered slot for as long as it lives, also when it is replaced: the orders of use
 * and of expiry are arrays over slots, and a page of keys goes on at a slot, so it neither skips nor repeats a key
 * that stayed.
 */
export class MemoryStore implements EntryStore {
  readonly #slots = new Map<string, number>();
  readonly #held: (Entry | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #order = new LruOrder();
  readonly #expiry = new ExpiryHeap();
  #bytes = 0;

  get entries(): number {
    return this.#slots.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Entry | undefined {
    const slot = this.#slots.get(key);
    return slot === undefined ? undefined : this.#held[slot];
  }

  put(entry: Entry): void {
    let slot = this.#slots.get(entry.key);
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#held.length;
      this.#slots.set(entry.key, slot);
      this.#order.add(slot);
    } else {
      this.#bytes -= this.#held[slot]?.sizeBytes ?? 0;
      this.#order.use(slot);
    }
    this.#held[slot] = entry;
    this.#bytes += entry.sizeBytes;
    this.#expiry.set(slot, entry.expiresAtMs);
  }

  use(key: string): void {
    const slot = this.#slots.get(key);
    if (slot !== undefined) this.#order.use(slot);
  }

  remove(key: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#slots.delete(key);
    this.#bytes -= this.#held[slot]?.sizeBytes ?? 0;
    this.#held[slot] = undefined;
    this.#free.push(slot);
    this.#order.remove(slot);
    this.#expiry.remove(slot);
  }

  victim(): Entry | undefined {
    return this.#heldAt(this.#order.oldest());
  }

  earliest(): Entry | undefined {
    return this.#heldAt(this.#expiry.earliest());
  }

  page(query: PageQuery): Page | undefined {
    if (query.cursor !== undefined && !cursorExpression.test(query.cursor)) return undefined;
    const first = query.cursor === undefined ? 0 : Number.parseInt(query.cursor, 36);
    const end = Math.min(this.#held.length, first + query.scanMax);
    const keys: string[] = [];
    let keyBytes = 0;
    let slot = first;
    for (; slot < end && keys.length < query.entriesMax; slot += 1) {
      const entry = this.#held[slot];
      if (entry === undefined || !query.wanted(entry)) continue;
      keyBytes += Buffer.byteLength(entry.key);
      if (keys.length > 0 && keyBytes > query.keyBytesMax) break;
      keys.push(entry.key);
    }
    return slot < this.#held.length ? { keys, cursor: slot.toString(36) } : { keys };
  }

  #heldAt(slot: number | undefined): Entry | undefined {
    return slot === undefined ? undefined : this.#held[slot];
  }
}
