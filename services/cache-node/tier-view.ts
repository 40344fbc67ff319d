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
  readonly fetched: FetchedRows;
  readonly tags: TierTags;
}

/** What a key has, by memory, by what is on its way to the backend, and by what the backend said just now: in this order. */
export class TierView {
  readonly #options: TierViewOptions;

  constructor(options: TierViewOptions) {
    this.#options = options;
  }

  /** Whether one of them says it; what memory has not it then gets. */
  isKnown(key: string): boolean {
    const { front, nowMs, writes, fetched } = this.#options;
    if (front.peek(key, nowMs()) !== undefined) return true;
    const record = this.#behind(key);
    if (record !== undefined) front.admit(record, nowMs());
    return writes.lookUp(key) !== undefined || fetched.has(key);
  }

  /** The entry, where there is one. Its bytes are good until the next call. */
  found(key: string): EntryRecord | undefined {
    const { front, nowMs } = this.#options;
    return front.peek(key, nowMs()) ?? this.#behind(key);
  }

  #behind(key: string): EntryRecord | undefined {
    const { writes, fetched, tags } = this.#options;
    const row = writes.lookUp(key);
    const bytes = row === undefined ? fetched.get(key) : row?.bytes;
    const record = bytes === undefined ? undefined : decodeRow(key, bytes);
    return record === undefined || tags.isInvalidated(record) ? undefined : record;
  }
}
