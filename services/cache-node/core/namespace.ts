import type { CacheStats } from '#shared/protocol/cache-schemas.ts';
import { decode } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import * as limits from '#shared/protocol/limits.ts';
import type {
  IncrementCommand,
  KeysCommand,
  LoadFailedCommand,
  SetCommand,
  SetCondition,
} from './commands.ts';
import { type Entry, type StoredValue, isExpired, storedInteger } from './entry.ts';
import { EventLog } from './event-log.ts';
import { expiryOf, isRefreshDue, jitteredTtl, slidExpiry } from './expiry.ts';
import { type FillRequest, Fills, type LoadOutcome } from './fills.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import type { NamespaceSettings } from './namespace-settings.ts';
import type { NoteChange } from './residence.ts';
import { Residents, type ResidentsOptions } from './residents.ts';

export interface NamespaceOptions extends Omit<ResidentsOptions, 'note'> {
  readonly name: string;
  /** Names one run of this namespace on this node: whose events have numbers without a gap. */
  readonly epoch: string;
  /** Uniform in [0, 1). */
  readonly random01: () => number;
  /** Hears of every change, where a tier below or somebody else must know, until `noteTo` says otherwise. */
  readonly note?: NoteChange | undefined;
}

/**
 * One namespace: what is served and what is refused. Time comes in with every call and must not run backwards. An entry
 * that has expired is as good as absent for every verb but `get` and `load`, which serve it as stale within its grace.
 */
export class Namespace {
  readonly name: string;
  readonly residents: Residents;
  readonly events: EventLog;
  readonly fills: Fills;
  readonly latency = new LatencyHistogram();
  readonly #options: NamespaceOptions;
  /** Set from outside while memory stands in for the backend. */
  isDegraded = false;
  /** What the backend holds, where there is one that counts: memory has a part of it. Set from outside. */
  behind: (() => { readonly entries: number; readonly bytes: number } | undefined) | undefined;
  #note: NoteChange | undefined;

  constructor(options: NamespaceOptions) {
    this.name = options.name;
    this.#options = options;
    this.events = new EventLog(options.epoch);
    this.fills = new Fills(options.nextVersion);
    this.residents = new Residents({
      ...options,
      note: (change) => {
        const { nearCache, events } = this.residents.settings;
        const { kind } = change;
        if (kind === 'evicted' || kind === 'expired' ? events.includes(kind) : nearCache)
          this.events.note(change);
        this.#note?.(change);
      },
    });
    this.#note = options.note;
    this.#listen();
  }

  get settings(): NamespaceSettings {
    return this.residents.settings;
  }

  get bytes(): number {
    return this.residents.bytes;
  }

  /** True when dropping it would lose nothing that somebody put there. */
  get isIdle(): boolean {
    return this.residents.isIdle && this.fills.size === 0;
  }

  /** The entry, also a stale one within its grace. */
  get(key: string, nowMs: number): Entry | undefined {
    const { residents } = this;
    const entry = residents.present(key, nowMs);
    if (entry === undefined) {
      residents.figures.misses += 1;
      return undefined;
    }
    residents.figures.hits += 1;
    if (!isExpired(entry, nowMs)) return residents.used(entry, nowMs);
    residents.figures.staleHits += 1;
    return entry;
  }

  exists(key: string, nowMs: number): boolean {
    return this.residents.fresh(key, nowMs) !== undefined;
  }

  /** @returns the entry's version, and when it ends: Infinity where it does not */
  set(
    command: SetCommand,
    nowMs: number,
  ): Result<{ readonly version: number; readonly expiresAtMs: number }> {
    const { key, loadToken } = command;
    const current = this.residents.fresh(key, nowMs);
    const refusal =
      (loadToken === undefined ? undefined : this.#lostRight(command, loadToken, nowMs)) ??
      conflictOf(command.condition, current?.version ?? 0);
    if (refusal !== undefined) return refusal;
    const { defaultTtlMs, defaultGraceMs, ttlJitter } = this.settings;
    const ttlMs = command.ttlMs ?? defaultTtlMs;
    const isSliding = command.sliding && ttlMs > 0;
    const jitter = isSliding || ttlJitter === 0 ? 0 : this.#options.random01();
    const expiresAtMs = expiryOf(jitteredTtl(ttlMs, ttlJitter, jitter), nowMs);
    const written = this.residents.write(
      {
        key,
        value: command.value,
        createdAtMs: nowMs,
        expiresAtMs,
        slidingMs: isSliding ? ttlMs : 0,
        graceMs: expiresAtMs === Infinity ? 0 : (command.graceMs ?? defaultGraceMs),
        tags: command.tags,
        fillMs: loadToken === undefined ? 0 : this.fills.fillMs(key, nowMs),
      },
      nowMs,
    );
    if (!written.ok) return written;
    this.#filled(key, nowMs);
    return accept({ version: written.value.version, expiresAtMs });
  }

  delete(key: string, nowMs: number): boolean {
    const deleted = this.residents.delete(key, nowMs);
    this.fills.pass(key, nowMs);
    return deleted;
  }

  /** Why the entry that is there, also a stale one, is not the one that is meant; undefined where it is, or is gone. */
  isOther(key: string, version: number, nowMs: number): Refusal | undefined {
    const current = this.residents.present(key, nowMs);
    const conflict = current && conflictOf({ kind: 'version', version }, current.version);
    return conflict?.error;
  }

  /** Adds to a counter. The ttl begins when the counter does, so that "so many a minute" can be counted. */
  increment(command: IncrementCommand, nowMs: number): Result<{ value: number; version: number }> {
    const { key, by, initial } = command;
    const current = this.residents.fresh(key, nowMs);
    const from = current === undefined ? initial : integerOf(current.value);
    if (from === undefined)
      return refuse('wrong_state', 'the value is not an integer, so nothing can be added to it');
    const value = from + by;
    if (!Number.isSafeInteger(value))
      return refuse('wrong_state', `${from} and ${by} make no integer that can be kept exactly`);
    const ttlMs = command.ttlMs ?? this.settings.defaultTtlMs;
    const counter = { key, value: storedInteger(value), fillMs: 0 };
    const written = this.residents.write(
      current === undefined
        ? {
            ...counter,
            createdAtMs: nowMs,
            expiresAtMs: expiryOf(ttlMs, nowMs),
            slidingMs: 0,
            graceMs: 0,
            tags: [],
          }
        : { ...current, ...counter, expiresAtMs: slidExpiry(current, nowMs) },
      nowMs,
    );
    if (!written.ok) return written;
    this.#filled(key, nowMs);
    return accept({ value, version: written.value.version });
  }

  /** Gives an entry a new expiry; a sliding one then slides by the new ttl. */
  touch(key: string, ttlMs: number, nowMs: number): boolean {
    const entry = this.residents.fresh(key, nowMs);
    if (entry === undefined) return false;
    const slidingMs = entry.slidingMs === 0 ? 0 : ttlMs;
    this.residents.touch(entry, { expiresAtMs: expiryOf(ttlMs, nowMs), slidingMs });
    return true;
  }

  /** Drops all entries, whatever their number, at once. */
  clear(nowMs: number): number {
    const behind = this.behind?.();
    const cleared = behind?.entries ?? this.residents.entries;
    this.residents.clear();
    this.fills.passAll(nowMs);
    return cleared;
  }

  /** Entries with one of the tags are gone, whatever their number; returns how many of the tags were known. */
  invalidateTags(tags: readonly string[]): number {
    return this.residents.invalidateTags(tags, this.fills.size > 0);
  }

  /** As `get`; on a miss the right to fill, or undefined where the caller waits: its waiter is answered later. */
  load(key: string, request: FillRequest, nowMs: number): LoadOutcome | undefined {
    this.fills.expire(limits.cacheExpiredPerStepMax, nowMs);
    const entry = this.get(key, nowMs);
    if (entry === undefined) return this.fills.ask(key, request, nowMs);
    const wantsFill = isExpired(entry, nowMs) || this.#isRefreshDue(entry, nowMs);
    const right = wantsFill ? this.fills.offer(key, request.leaseMs, nowMs) : undefined;
    return right === undefined ? { kind: 'hit', entry, nowMs } : { kind: 'hit', entry, nowMs, right };
  }

  loadFailed(command: LoadFailedCommand, nowMs: number): Result<Readonly<Record<string, never>>> {
    const { key, loadToken, message, ttlMs } = command;
    if (!this.fills.holds(key, loadToken)) return lostRight(key);
    this.fills.failed(key, { message, ttlMs }, nowMs);
    return accept({});
  }

  keys(
    command: KeysCommand,
    nowMs: number,
  ): Result<{ readonly keys: readonly string[]; readonly cursor?: string }> {
    const keys: string[] = [];
    let keyBytes = 0;
    const page = this.residents.page({
      cursor: command.cursor,
      scanMax: limits.cacheKeysScanMax,
      wantedKey: (key) => key.startsWith(command.prefix) && command.wanted?.(key) !== false,
      take: (entry) => {
        if (isExpired(entry, nowMs) || this.residents.isInvalidated(entry)) return true;
        keyBytes += Buffer.byteLength(entry.key);
        if (keys.length === command.limit || (keys.length > 0 && keyBytes > limits.cacheKeysPageBytesMax))
          return false;
        keys.push(entry.key);
        return true;
      },
    });
    return page === undefined
      ? refuseField('cursor', 'must be as keys returned it')
      : accept({ keys, ...page });
  }

  /** Who hears of every change from now on. */
  noteTo(note: NoteChange | undefined): void {
    this.#note = note;
    this.#listen();
  }

  /** Changes what is given and keeps the rest. A smaller quota holds at once: O(entries that must go). */
  configure(settings: Partial<NamespaceSettings>, nowMs: number): void {
    this.residents.configure(settings, nowMs);
    this.#listen();
  }

  /** Ends what is due of fills and removes expired entries, at most `stepsMax` together; returns how many there were. */
  expire(stepsMax: number, nowMs: number): number {
    const ended = this.fills.expire(stepsMax, nowMs);
    if (this.fills.size === 0) this.residents.forgetTagVersions();
    return ended + this.residents.expire(stepsMax - ended, nowMs);
  }

  stats(nowMs: number): CacheStats {
    const [p50 = 0, p95 = 0, p99 = 0] = this.latency.percentiles([0.5, 0.95, 0.99], nowMs);
    const inMemory = { entries: this.residents.entries, bytes: this.residents.bytes };
    return {
      namespace: this.name,
      ...this.settings,
      events: [...this.settings.events],
      ...(this.behind?.() ?? inMemory),
      ...(this.behind === undefined ? {} : { inMemory }),
      overheadBytes: this.residents.overheadBytes,
      ...this.residents.figures.read(),
      loads: this.fills.figures,
      latencyMs: { p50, p95, p99 },
      degraded: this.isDegraded,
    };
  }

  /** Why the caller may not set with its right, if it may not. */
  #lostRight({ key, tags }: SetCommand, token: number, nowMs: number) {
    if (!this.fills.holds(key, token)) return lostRight(key);
    if (!this.residents.isTagAbove(tags, token)) return undefined;
    // One of the tags was invalidated after the right was given: what was read from the source may be older.
    this.fills.pass(key, nowMs);
    return lostRight(key);
  }

  #filled(key: string, nowMs: number): void {
    this.fills.filled(key, () => this.residents.present(key, nowMs), nowMs);
  }

  #isRefreshDue(entry: Entry, nowMs: number): boolean {
    const beta = this.settings.earlyRefresh;
    return beta > 0 && isRefreshDue(entry, { beta, random01: this.#options.random01(), nowMs });
  }

  /** Notes cost the making of each: they are made only where somebody listens. */
  #listen(): void {
    const { nearCache, events } = this.settings;
    this.residents.isHeard = nearCache || events.length > 0 || this.#note !== undefined;
  }
}

const lostRight = (key: string) =>
  refuse('lease_lost', 'the right to fill this key is no longer good', { key });

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
  if (value.bytes.length > 24 || value.rawBytes > 0) return undefined;
  const decoded = decode(value.bytes, value.encoding);
  return decoded.ok && Number.isSafeInteger(decoded.value) ? (decoded.value as number) : undefined;
}
