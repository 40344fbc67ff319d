import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { cacheTagsMax } from '#shared/protocol/limits.ts';
import { type Entry, entrySize, isExpired, isGone } from './entry.ts';
import type { EntryStore, EntryTimes, Page, PageQuery } from './entry-store.ts';
import { slidExpiry } from './expiry.ts';
import { type EvictionReason, Figures } from './figures.ts';
import { type NamespaceSettings, defaultSettings, quotaOf } from './namespace-settings.ts';
import { copyOf } from './packed-store.ts';
import type {
  Change,
  EntryRecord,
  ForgetQuery,
  NoteChange,
  RecordsCursor,
  RecordsPage,
  RecordsQuery,
  Residence,
} from './residence.ts';

export interface ResidentsOptions {
  readonly makeStore: (strategy: NamespaceSettings['strategy']) => EntryStore;
  /** Greater with each call, over all namespaces and over restarts of the node. */
  readonly nextVersion: () => number;
  /** Versions that follow will be above this one, which another node gave. */
  readonly sawVersion: (version: number) => void;
  readonly note: NoteChange;
}

/** What an empty store may hold of memory before it makes room for a new one. */
const emptyStoreBytesMax = 1_048_576;

/** Tags that are remembered while keys are being filled. */
const awaitedTagsMax = 10_000;

/**
 * The entries of one namespace that are in memory: which are there, which go for room, by time, or by their tags.
 * Neither quota is ever passed.
 */
export class Residents implements Residence {
  readonly figures = new Figures();
  /** Whether changes are noted. */
  isHeard = false;
  readonly #options: ResidentsOptions;
  #settings = defaultSettings;
  #store: EntryStore;
  #share = 1;
  /** The highest version of an entry that was ever here, and the one below which all are cleared. */
  #highest = 0;
  #cleared = 0;
  /** Invalidated while keys are being filled, of tags that no entry has: the fills may be about to bring them. */
  readonly #awaitedTags = new Map<string, number>();
  /** Of tags that are not remembered any more, any may have been invalidated up to this version. */
  #anyTagUntil = 0;
  #newestAwaited = 0;

  constructor(options: ResidentsOptions) {
    this.#options = options;
    this.#store = options.makeStore(this.#settings.strategy);
  }

  /** The part of the quotas that is this node's: it holds from the next write on. */
  setShare(share: number): void {
    this.#share = share;
  }

  /** Takes an entry out that lives elsewhere now. */
  discard(key: string): void {
    this.#store.remove(key);
  }

  get settings(): NamespaceSettings {
    return this.#settings;
  }

  get entries(): number {
    return this.#store.entries;
  }

  get bytes(): number {
    return this.#store.bytes;
  }

  get overheadBytes(): number {
    return this.#store.overheadBytes;
  }

  get isIdle(): boolean {
    return this.#store.entries === 0 && this.#settings === defaultSettings;
  }

  /** The entry of `key`, stale or not, unless it is past its grace or invalidated: then it is removed here. */
  present(key: string, nowMs: number): Entry | undefined {
    const entry = this.#store.get(key);
    if (entry === undefined) return undefined;
    if (isGone(entry, nowMs)) {
      this.#expire(entry.key, entry.version);
      return undefined;
    }
    if (!this.isInvalidated(entry)) return entry;
    this.#store.remove(key);
    this.figures.invalidations += 1;
    return undefined;
  }

  /** As `present`, but what is stale does not count. */
  fresh(key: string, nowMs: number): Entry | undefined {
    const entry = this.present(key, nowMs);
    return entry === undefined || isExpired(entry, nowMs) ? undefined : entry;
  }

  /** The entry after a hit: used, and slid where hits do that. */
  used(entry: Entry, nowMs: number): Entry {
    this.#store.use(entry.key);
    if (entry.slidingMs === 0) return entry;
    const expiresAtMs = slidExpiry(entry, nowMs);
    this.#retime(entry, { ...entry, expiresAtMs }, true);
    return { ...entry, expiresAtMs };
  }

  /** Other times by request: the entry is another one for whoever holds a copy, so it has a new version. */
  touch(entry: Entry, times: Pick<Entry, 'expiresAtMs' | 'slidingMs'>): void {
    this.#store.use(entry.key);
    const version = this.#options.nextVersion();
    this.#highest = version;
    this.#retime({ ...entry, version }, { ...times, version }, false);
  }

  #retime(entry: Entry, times: EntryTimes, byHit: boolean): void {
    this.#store.retime(entry.key, times);
    if (!this.isHeard) return;
    const { key, version } = entry;
    this.#options.note({ kind: 'moved', key, version, expiresAtMs: times.expiresAtMs, byHit });
  }

  /** Makes or replaces an entry, with a new version. */
  write(draft: Omit<Entry, 'version'>, nowMs: number): Result<{ readonly version: number }> {
    const refusal = this.#tooLarge(draft) ?? this.#tooManyTags(draft);
    if (refusal !== undefined) return refusal;
    const version = this.#options.nextVersion();
    this.#put({ ...draft, version }, nowMs);
    this.figures.sets += 1;
    if (this.isHeard) this.#options.note({ kind: 'written', key: draft.key, version });
    return accept({ version });
  }

  delete(key: string, nowMs: number): boolean {
    const wasFresh = this.fresh(key, nowMs) !== undefined;
    this.#store.remove(key);
    if (wasFresh) this.figures.deletes += 1;
    // Told also where nothing was here: a copy elsewhere, or a tier below, may still have it.
    if (this.isHeard) this.#options.note({ kind: 'deleted', key, version: this.#options.nextVersion() });
    return wasFresh;
  }

  /** Drops the store for an empty one: O(1), whatever it held. */
  clear(): number {
    const cleared = this.#store.entries;
    const version = this.#options.nextVersion();
    this.#clearBelow(version);
    if (this.isHeard) this.#options.note({ kind: 'cleared', version });
    return cleared;
  }

  /** @param remember also the tags that no entry has, for what is being filled */
  invalidateTags(tags: readonly string[], remember: boolean): number {
    const version = this.#options.nextVersion();
    let known = 0;
    for (const tag of new Set(tags)) {
      if (this.#store.invalidateTag(tag, version)) known += 1;
      if (remember) this.#awaitTag(tag, version);
    }
    if (this.isHeard) this.#options.note({ kind: 'tags-invalidated', tags, version });
    return known;
  }

  /** Whether one of the tags was invalidated after `version`. */
  isTagAbove(tags: readonly string[], version: number): boolean {
    if (tags.length > 0 && this.#anyTagUntil > version) return true;
    return tags.some(
      (tag) => this.#store.tagVersion(tag) > version || (this.#awaitedTags.get(tag) ?? 0) > version,
    );
  }

  /** Whether any tag was invalidated after `version`, while keys were being filled. */
  isAnyTagAbove(version: number): boolean {
    return this.#newestAwaited > version;
  }

  /** Beyond some it is only remembered that there were any: a fill with tags then ends as if they had been its own. */
  #awaitTag(tag: string, version: number): void {
    if (this.#awaitedTags.size >= awaitedTagsMax) {
      this.#awaitedTags.clear();
      this.#anyTagUntil = version;
    }
    this.#awaitedTags.set(tag, version);
    this.#newestAwaited = version;
  }

  /** Nothing is being filled any more. */
  forgetTagVersions(): void {
    if (this.#awaitedTags.size > 0) this.#awaitedTags.clear();
  }

  isInvalidated(entry: Entry): boolean {
    if (entry.version < this.#cleared) return true;
    return entry.tags.length > 0 && entry.tags.some((tag) => this.#store.tagVersion(tag) > entry.version);
  }

  page(query: PageQuery): Page | undefined {
    return this.#store.page(query);
  }

  configure(settings: Partial<NamespaceSettings>, nowMs: number): void {
    const { strategy } = this.#settings;
    this.#settings = { ...this.#settings, ...settings };
    if (this.#settings.strategy !== strategy) this.#store.evictBy(this.#settings.strategy);
    this.#makeRoom(nowMs);
    if (this.isHeard) this.#options.note({ kind: 'configured', settings: this.#settings });
  }

  /** Removes at most `entriesMax` entries that are past their grace; returns how many it removed. */
  expire(entriesMax: number, nowMs: number): number {
    let expired = 0;
    while (expired < entriesMax && this.#expireOne(nowMs)) expired += 1;
    if (expired < entriesMax) this.#tidy();
    return expired;
  }

  /** The index and the orders stay as long as they ever were: of a store with nothing in it they are given back. */
  #tidy(): void {
    if (this.#store.entries === 0 && this.#store.overheadBytes > emptyStoreBytesMax)
      this.#store = this.#options.makeStore(this.#settings.strategy);
    else this.#store.tidy();
  }

  /** Gives up the entry that goes first; false when there is none. */
  evict(reason: EvictionReason, nowMs: number): boolean {
    if (this.#expireOne(nowMs)) return true;
    const victim = this.#store.victim();
    if (victim === undefined) return false;
    const version = this.isHeard ? (this.#store.get(victim)?.version ?? 0) : 0;
    this.#store.evict(victim);
    this.figures.evictionsBy[reason] += 1;
    if (this.isHeard) this.#options.note({ kind: 'evicted', key: victim, version });
    return true;
  }

  admit(record: EntryRecord, nowMs: number): boolean {
    this.#options.sawVersion(record.version);
    if (isGone(record, nowMs) || this.isInvalidated(record)) return false;
    if ((this.present(record.key, nowMs)?.version ?? 0) >= record.version) return false;
    if (this.#tooLarge(record) !== undefined || this.#tooManyTags(record) !== undefined) return false;
    this.#put(record, nowMs);
    return true;
  }

  /** `admit` with a version of this node: for an entry of which is known that no invalidation here was meant for it. */
  readmit(record: EntryRecord, nowMs: number): boolean {
    if (isGone(record, nowMs) || this.present(record.key, nowMs) !== undefined) return false;
    return this.admit({ ...record, version: this.#options.nextVersion() }, nowMs);
  }

  peek(key: string, nowMs: number): EntryRecord | undefined {
    return this.present(key, nowMs);
  }

  records(query: RecordsQuery, nowMs: number): RecordsPage | undefined {
    const records: EntryRecord[] = [];
    let bytes = 0;
    const page = this.#store.page({
      cursor: query.cursor,
      scanMax: query.scanMax,
      wantedKey: query.wanted,
      take: (entry) => {
        if (isGone(entry, nowMs) || this.isInvalidated(entry)) return true;
        bytes += entrySize(entry.key, entry.value);
        if (records.length === query.entriesMax || (records.length > 0 && bytes > query.bytesMax))
          return false;
        records.push(copyOf(entry));
        return true;
      },
    });
    return page === undefined ? undefined : { records, ...page };
  }

  forget(query: ForgetQuery): RecordsCursor {
    const keys: string[] = [];
    const page = this.#store.page({
      cursor: query.cursor,
      scanMax: query.scanMax,
      wantedKey: query.wanted,
      take: ({ key }) => keys.push(key) > 0,
    });
    for (const key of keys) this.#store.remove(key);
    return page ?? {};
  }

  applyChange(change: Extract<Change, { kind: 'deleted' | 'cleared' | 'tags-invalidated' }>): void {
    this.#options.sawVersion(change.version);
    if (change.kind === 'cleared') this.#clearBelow(change.version);
    else if (change.kind === 'tags-invalidated')
      for (const tag of change.tags) this.#store.invalidateTag(tag, change.version);
    else if ((this.#store.get(change.key)?.version ?? Infinity) < change.version)
      this.#store.remove(change.key);
  }

  #clearBelow(version: number): void {
    this.#cleared = Math.max(this.#cleared, version);
    // What is above stays, and what is below goes as it is met.
    if (this.#highest < version) this.#store = this.#options.makeStore(this.#settings.strategy);
  }

  #put(entry: Entry, nowMs: number): void {
    // Used first, so that it is not the one that goes for its own room.
    this.#store.use(entry.key);
    this.#makeRoom(nowMs, entry);
    this.#store.put(entry);
    this.#highest = Math.max(this.#highest, entry.version);
  }

  /** Before anything is added: a quota is not passed, not even for a moment. */
  #makeRoom(nowMs: number, added?: Entry): void {
    const { entriesMax, bytesMax } = quotaOf(this.#settings, this.#share);
    const size = added === undefined ? 0 : entrySize(added.key, added.value);
    for (;;) {
      // Asked anew each time: what is to be replaced may itself have gone for the room.
      const replaced = added === undefined ? 0 : this.#store.sizeOf(added.key);
      const isFull = this.#store.entries + (added === undefined || replaced > 0 ? 0 : 1) > entriesMax;
      if (!isFull && this.#store.bytes + size - replaced <= bytesMax && !this.#store.isFull) return;
      if (!this.evict(isFull ? 'entries' : 'bytes', nowMs)) return;
    }
  }

  #expireOne(nowMs: number): boolean {
    const key = this.#store.due(nowMs);
    if (key === undefined) return false;
    this.#expire(key, this.isHeard ? (this.#store.get(key)?.version ?? 0) : 0);
    return true;
  }

  #expire(key: string, version: number): void {
    this.#store.remove(key);
    this.figures.expirations += 1;
    if (this.isHeard) this.#options.note({ kind: 'expired', key, version });
  }

  #tooLarge({ key, value }: Pick<Entry, 'key' | 'value'>) {
    const size = entrySize(key, value);
    if (size <= this.#settings.bytesMax) return undefined;
    const problem = `the entry's ${size} bytes pass the namespace's quota of ${this.#settings.bytesMax}`;
    return refuse('payload_too_large', problem);
  }

  #tooManyTags({ tags }: Pick<Entry, 'tags'>) {
    if (tags.length === 0 || this.#store.tags + tags.length <= cacheTagsMax) return undefined;
    const added = tags.filter((tag) => !this.#store.hasTag(tag)).length;
    if (added === 0 || this.#store.tags + added <= cacheTagsMax) return undefined;
    return refuse('unavailable', `the namespace holds its most tags already (${cacheTagsMax})`, {
      field: 'tags',
    });
  }
}
