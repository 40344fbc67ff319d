import type { CacheStats } from '#shared/protocol/cache-schemas.ts';
import { decode } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import * as limits from '#shared/protocol/limits.ts';
import { type Entry, type StoredValue, entrySize, isExpired, storedInteger } from './entry.ts';
import type { EntryStore, Page } from './entry-store.ts';

export interface SetCommand {
  readonly key: string;
  readonly value: StoredValue;
  /** Milliseconds; 0: it stays; undefined: the namespace's default. */
  readonly ttlMs: number | undefined;
  readonly sliding: boolean;
  readonly condition: SetCondition;
}

export type SetCondition =
  | { readonly kind: 'always' }
  | { readonly kind: 'absent' }
  /** Version 0 stands for "absent". */
  | { readonly kind: 'version'; readonly version: number };

export interface IncrementCommand {
  readonly key: string;
  readonly by: number;
  readonly initial: number;
  readonly ttlMs: number | undefined;
}

export interface KeysCommand {
  readonly prefix: string;
  readonly limit: number;
  readonly cursor: string | undefined;
}

export interface NamespaceSettings {
  /** 0: entries stay until they are evicted. */
  readonly defaultTtlMs: number;
  readonly entriesMax: number;
  readonly bytesMax: number;
}

const defaultSettings: NamespaceSettings = {
  defaultTtlMs: 0,
  entriesMax: limits.cacheEntriesMaxDefault,
  bytesMax: limits.cacheBytesMaxDefault,
};

export interface NamespaceOptions {
  readonly name: string;
  readonly makeStore: () => EntryStore;
  /** Greater with each call, over all namespaces and over restarts of the node. */
  readonly nextVersion: () => number;
}

/**
 * One namespace: what is served, what is refused, what goes for room. Time comes in with every call and must not run
 * backwards. An entry that has expired is as good as absent for every verb, whether it was removed yet or not.
 */
export class Namespace {
  readonly name: string;
  readonly #options: NamespaceOptions;
  #store: EntryStore;
  #settings = defaultSettings;
  readonly #counts = { hits: 0, misses: 0, sets: 0, deletes: 0, evictions: 0, expirations: 0 };

  constructor(options: NamespaceOptions) {
    this.name = options.name;
    this.#options = options;
    this.#store = options.makeStore();
  }

  get bytes(): number {
    return this.#store.bytes;
  }

  /** True when dropping it would lose nothing that somebody put there. */
  get isIdle(): boolean {
    return this.#store.entries === 0 && this.#settings === defaultSettings;
  }

  get(key: string, nowMs: number): Entry | undefined {
    const entry = this.#live(key, nowMs);
    if (entry === undefined) {
      this.#counts.misses += 1;
      return undefined;
    }
    this.#counts.hits += 1;
    return this.#used(entry, nowMs);
  }

  exists(key: string, nowMs: number): boolean {
    return this.#live(key, nowMs) !== undefined;
  }

  set(command: SetCommand, nowMs: number): Result<{ readonly version: number }> {
    const current = this.#live(command.key, nowMs);
    const conflict = conflictOf(command.condition, current?.version ?? 0);
    if (conflict !== undefined) return conflict;
    const ttlMs = command.ttlMs ?? this.#settings.defaultTtlMs;
    return this.#write(
      {
        key: command.key,
        value: command.value,
        expiresAtMs: expiryOf(ttlMs, nowMs),
        slidingMs: command.sliding ? ttlMs : 0,
      },
      nowMs,
    );
  }

  delete(key: string, nowMs: number): boolean {
    if (this.#live(key, nowMs) === undefined) return false;
    this.#store.remove(key);
    this.#counts.deletes += 1;
    return true;
  }

  /** Adds to a counter. The ttl begins when the counter does, so that "so many a minute" can be counted. */
  increment(command: IncrementCommand, nowMs: number): Result<{ value: number; version: number }> {
    const current = this.#live(command.key, nowMs);
    const from = current === undefined ? command.initial : integerOf(current.value);
    if (from === undefined)
      return refuse('wrong_state', 'the value is not an integer, so nothing can be added to it');
    const value = from + command.by;
    if (!Number.isSafeInteger(value))
      return refuse('wrong_state', `${from} and ${command.by} make no integer that can be kept exactly`);
    const ttlMs = command.ttlMs ?? this.#settings.defaultTtlMs;
    const expiry = current === undefined ? expiryOf(ttlMs, nowMs) : slidExpiry(current, nowMs);
    const written = this.#write(
      {
        key: command.key,
        value: storedInteger(value),
        expiresAtMs: expiry,
        slidingMs: current?.slidingMs ?? 0,
      },
      nowMs,
    );
    return written.ok ? accept({ value, version: written.value.version }) : written;
  }

  /** Gives an entry a new expiry; a sliding one then slides by the new ttl. */
  touch(key: string, ttlMs: number, nowMs: number): boolean {
    const entry = this.#live(key, nowMs);
    if (entry === undefined) return false;
    const slidingMs = entry.slidingMs === 0 ? 0 : ttlMs;
    this.#store.put({ ...entry, expiresAtMs: expiryOf(ttlMs, nowMs), slidingMs });
    return true;
  }

  /** Drops the store for an empty one: O(1), whatever it held. */
  clear(): number {
    const cleared = this.#store.entries;
    this.#store = this.#options.makeStore();
    return cleared;
  }

  keys(command: KeysCommand, nowMs: number): Result<Page> {
    const page = this.#store.page({
      cursor: command.cursor,
      entriesMax: command.limit,
      keyBytesMax: limits.cacheKeysPageBytesMax,
      scanMax: limits.cacheKeysScanMax,
      wanted: (entry) => !isExpired(entry, nowMs) && entry.key.startsWith(command.prefix),
    });
    return page === undefined ? refuseField('cursor', 'must be as keys returned it') : accept(page);
  }

  /** Changes what is given and keeps the rest. A smaller quota holds at once: O(entries that must go). */
  configure(settings: Partial<NamespaceSettings>, nowMs: number): void {
    this.#settings = { ...this.#settings, ...settings };
    this.#makeRoom(0, 0, nowMs);
  }

  /** Removes at most `entriesMax` expired entries; returns how many it removed. */
  expire(entriesMax: number, nowMs: number): number {
    let expired = 0;
    while (expired < entriesMax && this.#expireOne(nowMs)) expired += 1;
    return expired;
  }

  /** Gives up the entry that goes first, for the good of the node; false when there is none. */
  evict(nowMs: number): boolean {
    if (this.#expireOne(nowMs)) return true;
    const victim = this.#store.victim();
    if (victim === undefined) return false;
    this.#store.remove(victim.key);
    this.#counts.evictions += 1;
    return true;
  }

  stats(): CacheStats {
    const { hits, misses } = this.#counts;
    return {
      namespace: this.name,
      backend: 'memory',
      strategy: 'lru',
      entries: this.#store.entries,
      bytes: this.#store.bytes,
      overheadBytes: 0,
      ...unserved,
      entriesMax: this.#settings.entriesMax,
      bytesMax: this.#settings.bytesMax,
      defaultTtlMs: this.#settings.defaultTtlMs,
      hitRate: hits + misses === 0 ? 0 : hits / (hits + misses),
      ...this.#counts,
    };
  }

  #write(
    draft: Pick<Entry, 'key' | 'value' | 'expiresAtMs' | 'slidingMs'>,
    nowMs: number,
  ): Result<{ readonly version: number }> {
    const sizeBytes = entrySize(draft.key, draft.value);
    if (sizeBytes > this.#settings.bytesMax) {
      return refuse(
        'payload_too_large',
        `the entry's ${sizeBytes} bytes pass the namespace's quota of ${this.#settings.bytesMax}`,
      );
    }
    // Most recently used first, so that it is not the one that goes for its own room.
    this.#store.use(draft.key);
    const replaced = this.#store.get(draft.key);
    this.#makeRoom(replaced === undefined ? 1 : 0, sizeBytes - (replaced?.sizeBytes ?? 0), nowMs);
    const version = this.#options.nextVersion();
    this.#store.put({ ...draft, version, sizeBytes });
    this.#counts.sets += 1;
    return accept({ version });
  }

  /** Before anything is added: a quota is not passed, not even for a moment. */
  #makeRoom(entries: number, bytes: number, nowMs: number): void {
    const { entriesMax, bytesMax } = this.#settings;
    while (this.#store.entries + entries > entriesMax || this.#store.bytes + bytes > bytesMax) {
      if (!this.evict(nowMs)) return;
    }
  }

  /** The entry of `key`, unless it has expired: then it is removed and counted here. */
  #live(key: string, nowMs: number): Entry | undefined {
    const entry = this.#store.get(key);
    if (entry === undefined || !isExpired(entry, nowMs)) return entry;
    this.#remove(entry);
    return undefined;
  }

  #expireOne(nowMs: number): boolean {
    const entry = this.#store.earliest();
    if (entry === undefined || !isExpired(entry, nowMs)) return false;
    this.#remove(entry);
    return true;
  }

  #remove(expired: Entry): void {
    this.#store.remove(expired.key);
    this.#counts.expirations += 1;
  }

  #used(entry: Entry, nowMs: number): Entry {
    if (entry.slidingMs === 0) {
      this.#store.use(entry.key);
      return entry;
    }
    const extended = { ...entry, expiresAtMs: slidExpiry(entry, nowMs) };
    this.#store.put(extended);
    return extended;
  }
}

/** Figures and settings of what this node does not serve yet. */
const unserved = {
  defaultGraceMs: 0,
  ttlJitter: 0,
  compressAbove: 0,
  earlyRefresh: 0,
  nearCache: false,
  events: [],
  staleHits: 0,
  evictionsBy: { entries: 0, bytes: 0, node: 0 },
  invalidations: 0,
  loads: { granted: 0, failed: 0, expired: 0, waiting: 0 },
  latencyMs: { p50: 0, p95: 0, p99: 0 },
  degraded: false,
};

const expiryOf = (ttlMs: number, nowMs: number): number => (ttlMs === 0 ? Infinity : nowMs + ttlMs);

const slidExpiry = (entry: Entry, nowMs: number): number =>
  entry.slidingMs === 0 ? entry.expiresAtMs : nowMs + entry.slidingMs;

/** @param version of the entry that is there, 0 when none is */
function conflictOf(condition: SetCondition, version: number) {
  if (condition.kind === 'always') return undefined;
  if (condition.kind === 'absent')
    return version === 0 ? undefined : refuse('conflict', 'the key is there already', { version });
  if (condition.version === version) return undefined;
  return refuse('conflict', `the version is ${version}, not ${condition.version}`, { version });
}

/** The integer that a value holds, whichever encoding it came in. */
function integerOf(value: StoredValue): number | undefined {
  if (value.sizeBytes > 24) return undefined;
  const bytes = typeof value.encoded === 'string' ? Buffer.from(value.encoded) : value.encoded;
  const decoded = decode(bytes, value.encoding);
  return decoded.ok && Number.isSafeInteger(decoded.value) ? (decoded.value as number) : undefined;
}
