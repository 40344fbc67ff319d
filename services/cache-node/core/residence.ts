import type { Entry, StoredValue } from './entry.ts';
import type { NamespaceSettings } from './namespace-settings.ts';

// What stands around a namespace needs of it: a tier below (a file, Redis), and a hand-over to another node. Nothing
// here waits: whoever has to (for a disk, for the network) does so before the decision (`admit` what the request's keys
// need) or after it (write the changes that it noted, then answer).

/** A value as it is kept, and an entry with everything that is kept of it. */
export type KeptBytes = StoredValue;
export type EntryRecord = Entry;

/** What a decision changed. Noted while the decision is made, in order, each before the next one. */
export type Change =
  /** Made or replaced. The record is read with `peek` at once, if it is wanted. */
  | { readonly kind: 'written'; readonly key: string; readonly version: number }
  /** The times of an entry are others (`touch`, a hit of a sliding one: then `byHit`); its version is the same. */
  | {
      readonly kind: 'moved';
      readonly key: string;
      readonly version: number;
      readonly expiresAtMs: number;
      readonly byHit: boolean;
    }
  /** By request. `version` is that of the deletion: a record below it must not come back. */
  | { readonly kind: 'deleted'; readonly key: string; readonly version: number }
  /** For room, or by time: an `evicted` entry may live on in a tier below. */
  | { readonly kind: 'evicted' | 'expired'; readonly key: string; readonly version: number }
  /** Records with one of the tags and a version below are gone. */
  | { readonly kind: 'tags-invalidated'; readonly tags: readonly string[]; readonly version: number }
  /** All records with a version below are gone. */
  | { readonly kind: 'cleared'; readonly version: number }
  | { readonly kind: 'configured'; readonly settings: NamespaceSettings };

/** Hears of each change. It must not call back into the namespace, but for `peek`. */
export type NoteChange = (change: Change) => void;

/** What a namespace offers beside its operations, as `namespace.residents`. */
export interface Residence {
  /**
   * Takes in an entry that exists elsewhere: out of the tier below, or from the node that had its slot. Counts as no
   * `set`, notes no change, and makes room as a `set` does. The version floor of the node rises to the entry's.
   * @returns false where it changed nothing: expired, invalidated or cleared since, not above what is there, or larger
   *   than the quota
   */
  admit(record: EntryRecord, nowMs: number): boolean;
  /** The record of `key` without counting as use, also while it is stale; undefined when there is none. */
  peek(key: string, nowMs: number): EntryRecord | undefined;
  /**
   * Entries for a hand-over, page by page: neither skips nor repeats one that did not change. Values are copies.
   * @param query.wanted  looks at the key alone (its slot)
   * @returns the page, with a cursor unless it is the last; undefined for a cursor that is none of ours
   */
  records(query: RecordsQuery, nowMs: number): RecordsPage | undefined;
  /** Drops entries that live elsewhere now; counts as nothing and notes nothing. At most `entriesMax` in one step. */
  forget(query: ForgetQuery): RecordsCursor;
  /** A deletion, a clear or tags that another node or a former run decided on: applied without a new version. */
  applyChange(change: Extract<Change, { kind: 'deleted' | 'cleared' | 'tags-invalidated' }>): void;
}

export interface RecordsQuery {
  readonly cursor?: string | undefined;
  readonly entriesMax: number;
  /** Stop before keys and values pass this many bytes; the first one always fits. */
  readonly bytesMax: number;
  /** Look at no more entries than this. */
  readonly scanMax: number;
  readonly wanted: (key: string) => boolean;
}

export interface RecordsPage {
  readonly records: readonly EntryRecord[];
  readonly cursor?: string;
}

export type ForgetQuery = Pick<RecordsQuery, 'cursor' | 'scanMax' | 'wanted'>;

export interface RecordsCursor {
  /** Left out when all entries were looked at. */
  readonly cursor?: string;
}
