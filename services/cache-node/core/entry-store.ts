import type { CacheStrategy } from '#shared/protocol/cache-schemas.ts';
import type { Entry } from './entry.ts';

/**
 * What holds the entries of one namespace. It knows their order of use and of expiry, and no rule: what is evicted,
 * expired or refused is decided by the namespace. Values that it returns are good until its next verb.
 */
export interface EntryStore {
  readonly entries: number;
  /** The sum of the entries' sizes, as quotas count them. */
  readonly bytes: number;
  /** Bytes of memory that are held beyond keys and values. */
  readonly overheadBytes: number;
  /** True when it can hold no more, whatever the quotas say. */
  readonly isFull: boolean;
  get(key: string): Entry | undefined;
  /** What an entry counts for in `bytes`; 0 when it is not there. */
  sizeOf(key: string): number;
  /** Adds or replaces; the entry is then the most recently used. */
  put(entry: Entry): void;
  /** Counts as a use of an entry that is there. */
  use(key: string): void;
  /** Gives an entry that is there other times and a version; all else stays, its place among the used ones, too. */
  retime(key: string, times: EntryTimes): void;
  remove(key: string): void;
  /** The key of the entry to go first when room is needed. */
  victim(): string | undefined;
  /** Removes the victim, as one that had to go. */
  evict(key: string): void;
  /** The key of the entry that is past its grace first, if that is at or before `nowMs`. */
  due(nowMs: number): string | undefined;
  /** Changes what goes first. O(entries). */
  evictBy(strategy: CacheStrategy): void;
  /** The version under which a tag was last invalidated, as far as it matters to entries that are here; else 0. */
  tagVersion(tag: string): number;
  /** Raises a tag's version; false when no entry here has the tag. O(1). */
  invalidateTag(tag: string, version: number): boolean;
  /** Whether an entry here has the tag. */
  hasTag(tag: string): boolean;
  /** Distinct tags of the entries. */
  readonly tags: number;
  /** Gives memory back that removals left; a step, for when nothing else is done. */
  tidy(): void;
  /** Entries in an order that changes to other entries do not disturb; undefined when the cursor is none of ours. */
  page(query: PageQuery): Page | undefined;
}

export type EntryTimes = Pick<Entry, 'expiresAtMs' | 'slidingMs' | 'version'>;

export interface PageQuery {
  /** As the page before returned it; the first page when left out. */
  readonly cursor?: string | undefined;
  /** Look at no more entries than this, whether they are wanted or not. */
  readonly scanMax: number;
  /** Whether an entry of that key is wanted; it is asked before anything else of the entry is read. */
  readonly wantedKey: (key: string) => boolean;
  /** Takes in an entry; false ends the page before it. Values are good only meanwhile. */
  readonly take: (entry: Entry) => boolean;
}

export interface Page {
  /** Left out on the last page. */
  readonly cursor?: string;
}
