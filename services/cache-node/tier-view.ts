import type { EntryRecord, Residence } from './core/residence.ts';
import type { TierTags } from './core/tier-tags.ts';
import type { FetchedRows } from './fetched-rows.ts';
import { decodeRow } from './row-codec.ts';
import type { TierWrites } from './tier-writes.ts';

export interface TierViewOptions {
  readonly front: Residence;
  /** The time that entries expire by. */
  readonly nowMs: () => number;
  readonly writes: Pick<TierWrites<unknown>, 'lookUp'>;
  /** The backend has a row that is worth nothing to anybody. */
  readonly drop: (key: string) => void;
  readonly fetched: FetchedRows;
  readonly tags: TierTags;
}

/** Where memory has no room for all keys of one request there is no end to it. */
const passesMax = 3;

/** What a key has, by memory, by what is on its way to the backend, and by what the backend said just now: in this order. */
export class TierView {
  readonly #options: TierViewOptions;
  /** How often memory has got something. */
  #admitted = 0;

  constructor(options: TierViewOptions) {
    this.#options = options;
  }

  /** Those of which none of them says it. What memory has not of the others it then gets. */
  unknown(keys: readonly string[]): readonly string[] {
    let passes = 0;
    for (;;) {
      const before = this.#admitted;
      const unknown = keys.filter((key) => !this.#isKnown(key));
      passes += 1;
      // What came into memory may have driven out another one of them.
      if (unknown.length > 0 || this.#admitted === before || passes === passesMax) return unknown;
    }
  }

  #isKnown(key: string): boolean {
    const { front, nowMs, writes, fetched } = this.#options;
    if (front.peek(key, nowMs()) !== undefined) return true;
    const record = this.#behind(key);
    if (record !== undefined && front.admit(record, nowMs())) this.#admitted += 1;
    return writes.lookUp(key) !== undefined || fetched.has(key);
  }

  /** Whether one of them says it, and memory stays as it is. */
  isAtHand(key: string): boolean {
    const { front, nowMs, writes, fetched } = this.#options;
    return front.peek(key, nowMs()) !== undefined || writes.lookUp(key) !== undefined || fetched.has(key);
  }

  /** The entry, where there is one. Its bytes are good until the next call. */
  found(key: string): EntryRecord | undefined {
    const { front, nowMs } = this.#options;
    return front.peek(key, nowMs()) ?? this.#behind(key);
  }

  #behind(key: string): EntryRecord | undefined {
    const { writes, fetched, tags, drop } = this.#options;
    const row = writes.lookUp(key);
    const bytes = row === undefined ? fetched.get(key) : row?.bytes;
    const record = bytes === undefined ? undefined : decodeRow(key, bytes);
    if (record === undefined || !tags.isInvalidated(record)) return record;
    // Met, and it takes up the backend's room no longer.
    if (row === undefined) drop(key);
    return undefined;
  }
}
