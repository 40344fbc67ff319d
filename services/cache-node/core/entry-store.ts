import type { Entry } from './entry.ts';

/**
 * What holds the entries of one namespace. It knows their order of use and of expiry, and no rule: what is evicted,
 * expired or refused is decided by the namespace.
 */
export interface EntryStore {
  readonly entries: number;
  /** The sum of the entries' `sizeBytes`. */
  readonly bytes: number;
  get(key: string): Entry | undefined;
  /** Adds or replaces; the entry is then the most recently used. */
  put(entry: Entry): void;
  /** Makes an entry that is there the most recently used. */
  use(key: string): void;
  remove(key: string): void;
  /** The entry to go first when room is needed. */
  victim(): Entry | undefined;
  /** The entry that expires first, if any does. */
  earliest(): Entry | undefined;
  /** Entries in an order that changes to other entries do not disturb; undefined when the cursor is none of ours. */
  page(query: PageQuery): Page | undefined;
}

export interface PageQuery {
  /** As the page before returned it; the first page when left out. */
  readonly cursor?: string | undefined;
  readonly entriesMax: number;
  /** Stop before the keys pass this many bytes; the first one always fits. */
  readonly keyBytesMax: number;
  /** Look at no more entries than this, whether they are wanted or not. */
  readonly scanMax: number;
  readonly wanted: (entry: Entry) => boolean;
}

export interface Page {
  readonly keys: readonly string[];
  /** Left out on the last page. */
  readonly cursor?: string;
}
