import type { CacheEvent, MissedReply } from '#shared/protocol/cache-schemas.ts';
import type { NearStats } from './cache-options.ts';
import { RecentChanges } from './recent-changes.ts';
import { S3FifoMap } from './s3-fifo-map.ts';

export interface NearCacheLimits {
  readonly entriesMax: number;
  /** Longest life of a copy, in milliseconds. */
  readonly ttlMs: number;
  /** The epoch whose events tell what happens to a key; undefined where that is not known. */
  readonly epochOf: (key: string) => string | undefined;
  /** Whether keys are on their way between nodes: the one that they come from may be the one who tells. */
  readonly isMoving?: () => boolean;
}

/** Events that should be asked for again: what followed `after`. */
export interface Gap {
  readonly epoch: string;
  readonly after: number;
}

/**
 * How long an epoch vouches for its copies without being heard, in milliseconds. It speaks every two seconds: two such
 * notes may be lost before nothing is served any more.
 */
export const silenceMsMax = 5_000;

/**
 * How long what is being written is served to the process that writes it, in milliseconds. It may be refused yet, and
 * how long it lives only the answer says; and an answer mostly takes a tenth of this.
 */
export const writingMsMax = 10;

/** Epochs remembered at once: nodes of a cluster, and those that went before them. */
const sourcesMax = 256;

/** One run of one node, as its events tell. */
interface Source {
  readonly epoch: string;
  /** The last event without a gap before it. */
  sequence: number;
  heardMs: number;
  /** Events were missed and have not come yet: copies that this source stands for are not served meanwhile. */
  hasGap: boolean;
}

/** The schema by which a value was read, which may have made another one of it; undefined: as the node has it. */
type Form = object | undefined;

interface Copy {
  readonly value: unknown;
  readonly version: number;
  readonly expiresAtMs: number;
  readonly tags: readonly string[] | undefined;
  readonly form: Form;
  /** Who tells what happens to it; undefined: any of the sources may. */
  readonly source: Source | undefined;
}

/** A value that this process has sent to a node, which has not answered yet. */
export interface Writing {
  readonly value: unknown;
  readonly beganMs: number;
  readonly source: Source | undefined;
}

/** What a node said of a key: a reply to `get`, or what was written, with the reply to `set`. */
export interface Kept {
  readonly hit: boolean;
  readonly value?: unknown;
  readonly version?: number | undefined;
  readonly ttlMs?: number | undefined;
  readonly stale?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly form?: Form;
}

/** Says when a read began, so that what changed meanwhile is noticed when its reply comes. */
export type ReadStamp = number;

/** When a read began: by what had changed until then, and by the clock. */
export interface Began {
  readonly stamp: ReadStamp;
  readonly atMs: number;
}

/**
 * Copies of entries in this process, kept right by the nodes' events. The rules, without a clock and without I/O:
 * - A copy is served only while the source that stands for it has been heard within `silenceMsMax` and has no gap.
 * - An event names versions: copies below go, others stay; so doubled, late and reordered events do no harm.
 * - A hole in a source's sequence is a gap. It is closed by the events themselves, asked for once more; only where
 *   nobody has them any more do the copies that this source stands for go, and no others.
 * - A reply is kept only if nothing that was heard since its read began says that it is out of date.
 * - What this process writes is dropped as the write begins, and what it read before is not kept after it. What it
 *   wrote is kept once the node has said its version, as a reply to a read that began with the write. Until then its own
 *   callers get it, for `writingMsMax` at most, unless anything is heard that concerns the key.
 */
export class NearCache {
  readonly #limits: NearCacheLimits;
  readonly #copies: S3FifoMap<Copy>;
  readonly #sources = new Map<string, Source>();
  readonly #changes = new RecentChanges();
  readonly #writing = new Map<string, Writing>();
  #hits = 0;
  #misses = 0;
  #invalidations = 0;
  #gaps = 0;
  #dropped = 0;

  constructor(limits: NearCacheLimits) {
    this.#limits = limits;
    this.#copies = new S3FifoMap(limits.entriesMax);
  }

  /**
   * The copy of a key, as a hit; undefined when there is none to be served. What is being written has no version. O(1).
   * @param form  a copy that was read by another schema is not served
   */
  read(
    key: string,
    nowMs: number,
    form?: Form,
  ): { readonly value: unknown; readonly version?: number } | undefined {
    const writing = this.#writing.size === 0 ? undefined : this.#writing.get(key);
    if (
      writing !== undefined &&
      form === undefined &&
      nowMs < writing.beganMs + writingMsMax &&
      this.#isVouchedFor(writing.source, nowMs)
    ) {
      this.#hits += 1;
      return writing;
    }
    const copy = this.#copies.get(key);
    if (
      copy !== undefined &&
      copy.form === form &&
      nowMs < copy.expiresAtMs &&
      this.#isVouchedFor(copy.source, nowMs)
    ) {
      this.#hits += 1;
      return copy;
    }
    this.#misses += 1;
    return undefined;
  }

  /** Puts the copies of `keys` into `values`; returns the places that are left. */
  readMany(
    keys: readonly string[],
    values: unknown[],
    { nowMs, form }: { readonly nowMs: number; readonly form?: Form },
  ): readonly number[] {
    const left: number[] = [];
    for (const [index, key] of keys.entries()) {
      const copy = this.read(key, nowMs, form);
      if (copy === undefined) left.push(index);
      else values[index] = copy.value;
    }
    return left;
  }

  /** To be called when a read goes out to the node. */
  beginRead(): ReadStamp {
    return this.#changes.now;
  }

  /** Whether a read that began at `stamp` is still as good as one that begins now. */
  isCurrent(key: string, stamp: ReadStamp): boolean {
    return !this.#changes.hasChanged(key, stamp);
  }

  /**
   * Keeps what a node answered, unless it is out of date already.
   * @param beganMs  when the read or the write began: the copy then never outlives its entry
   */
  keep(key: string, reply: Kept, stamp: ReadStamp, beganMs: number): void {
    const { hit, value, version, ttlMs, stale, tags, form } = reply;
    if (!hit || stale === true || version === undefined) return;
    const source = this.#sourceOf(key);
    if (source === 'none' || this.#changes.isOutdated(key, { version, tags, stamp })) return;
    const lifeMs = Math.min(ttlMs ?? Infinity, this.#limits.ttlMs);
    this.#copies.set(key, { value, version, expiresAtMs: beganMs + lifeMs, tags, form, source });
  }

  /** This process has sent a value for `key`, after `forget`. Whatever becomes of it, `endWrite` must follow. */
  beginWrite(key: string, value: unknown, nowMs: number): Writing | undefined {
    const source = this.#sourceOf(key);
    if (source === 'none') return undefined;
    const writing = { value, beganMs: nowMs, source };
    this.#writing.set(key, writing);
    return writing;
  }

  endWrite(key: string, writing: Writing | undefined): void {
    if (writing !== undefined && this.#writing.get(key) === writing) this.#writing.delete(key);
  }

  /** This process is about to change `key`: whatever is read from now on must come from the node. */
  forget(key: string): void {
    this.#copies.delete(key);
    this.#writing.delete(key);
    this.#changes.key(key, undefined);
  }

  /** This process is about to change all keys. */
  forgetAll(): void {
    this.#copies.clear();
    this.#writing.clear();
    this.#changes.all(undefined);
  }

  /** This process is about to invalidate tags. */
  forgetTags(tags: readonly string[]): void {
    const meant = new Set(tags);
    this.#writing.clear();
    this.#changes.tags(meant, undefined);
    this.#outdateWhere((copy) => copy.tags?.some((tag) => meant.has(tag)) === true);
  }

  /** What an event changes; returns the gap that it shows, if any. */
  take(event: CacheEvent, nowMs: number): Gap | undefined {
    this.#apply(event);
    const { epoch, sequence } = event;
    const source = this.#sources.get(epoch) ?? this.#begin(epoch, sequence, nowMs, 'heartbeat' in event);
    source.heardMs = nowMs;
    if (sequence === source.sequence + 1 && !('heartbeat' in event)) source.sequence = sequence;
    if (sequence <= source.sequence) return source.hasGap ? gapOf(source) : undefined;
    if (!source.hasGap) this.#gaps += 1;
    source.hasGap = true;
    return gapOf(source);
  }

  /**
   * What a node answered to a gap.
   * @param reply  undefined: nobody answered, and the gap stays open
   */
  close(gap: Gap, reply: MissedReply | undefined, nowMs: number): void {
    const source = this.#sources.get(gap.epoch);
    if (reply === undefined || source === undefined) return;
    if (reply.epoch !== gap.epoch) {
      // Another run has taken its place; what this one still told is not known.
      this.#dropSource(source);
      this.#sources.delete(gap.epoch);
      this.learn(reply, nowMs);
      return;
    }
    if (reply.events === undefined) this.#dropSource(source);
    else for (const event of reply.events) this.#apply(event);
    source.sequence = Math.max(source.sequence, reply.sequence);
    source.hasGap = false;
    source.heardMs = nowMs;
  }

  /** Where a node stands, learned before anything is kept: later events join on to this without a gap. */
  learn({ epoch, sequence }: Pick<MissedReply, 'epoch' | 'sequence'>, nowMs: number): void {
    if (!this.#sources.has(epoch)) this.#begin(epoch, sequence, nowMs, true);
  }

  /** Keys have moved to other nodes: copies whose source no longer tells what happens to them go. */
  keysMoved(): void {
    // What is being read now came perhaps from the node that a key has left.
    this.#changes.all(undefined);
    this.#writing.clear();
    for (const [key, copy] of this.#copies.entries())
      if (this.#limits.epochOf(key) !== copy.source?.epoch) this.#drop(key);
  }

  /** Every gap that is open, for whoever asks once more. */
  openGaps(): readonly Gap[] {
    return [...this.#sources.values()].filter((source) => source.hasGap).map(gapOf);
  }

  /** Every source as if it had a gap: the connection was lost, and what was said meanwhile is to be asked for. */
  suspectAll(): readonly Gap[] {
    for (const source of this.#sources.values()) source.hasGap = true;
    return this.openGaps();
  }

  /** Forgets sources that have not been heard for long, with what they stand for. */
  prune(nowMs: number): void {
    for (const source of this.#sources.values()) {
      if (nowMs - source.heardMs <= silenceMsMax) continue;
      this.#dropSource(source);
      this.#sources.delete(source.epoch);
    }
  }

  /** Whether anybody tells what happens. */
  isLive(nowMs: number): boolean {
    return this.#sources.size > 0 && this.#isVouchedFor(undefined, nowMs);
  }

  stats(nowMs: number): NearStats {
    return {
      entries: this.#copies.size,
      hits: this.#hits,
      misses: this.#misses,
      invalidations: this.#invalidations,
      gaps: this.#gaps,
      dropped: this.#dropped,
      live: this.isLive(nowMs),
    };
  }

  #isVouchedFor(source: Source | undefined, nowMs: number): boolean {
    if (source !== undefined) return !source.hasGap && nowMs - source.heardMs <= silenceMsMax;
    for (const one of this.#sources.values())
      if (one.hasGap || nowMs - one.heardMs > silenceMsMax) return false;
    return true;
  }

  /** `none` where nobody is known to tell what happens to the key. */
  #sourceOf(key: string): Source | 'none' | undefined {
    const epoch = this.#limits.epochOf(key);
    if (epoch !== undefined && this.#limits.isMoving?.() !== true) return this.#sources.get(epoch) ?? 'none';
    // Where one has been heard there may be others yet: it alone cannot stand for a key that may be another node's.
    return this.#sources.size > 0 ? undefined : 'none';
  }

  /**
   * A source that was not known. If it has spoken before, something may have been missed that concerns copies which
   * others stood for until now; those go. What joins on to its first word does not.
   */
  #begin(epoch: string, sequence: number, nowMs: number, isSaid: boolean): Source {
    if (this.#sources.size >= sourcesMax) this.prune(nowMs);
    const before = isSaid ? sequence : sequence - 1;
    const source: Source = { epoch, sequence: before, heardMs: nowMs, hasGap: false };
    this.#sources.set(epoch, source);
    if (before > 0) this.#dropOf(source, () => true);
    return source;
  }

  /**
   * Drops the copies that a source stands for.
   * @param orUnclear  of those for which nobody knows who stands for them now: which ones, too
   */
  #dropOf(source: Source, orUnclear: (copy: Copy) => boolean): void {
    // What is being read now was perhaps changed by what is not known.
    this.#changes.all(undefined);
    this.#writing.clear();
    for (const [key, copy] of this.#copies.entries()) {
      const epoch = this.#limits.epochOf(key);
      const isIts = copy.source === source || epoch === source.epoch;
      const isUnclear = epoch === undefined || copy.source === undefined;
      if (isIts || (isUnclear && orUnclear(copy))) this.#drop(key);
    }
  }

  #dropSource(source: Source): void {
    this.#dropOf(source, (copy) => copy.source === undefined);
  }

  #drop(key: string): void {
    if (this.#copies.delete(key)) this.#dropped += 1;
  }

  #apply(event: CacheEvent): void {
    if ('keys' in event) {
      for (const [index, key] of event.keys.entries()) this.#outdate(key, event.versions[index] ?? Infinity);
    } else if ('clear' in event) {
      this.#writing.clear();
      this.#changes.all(event.version);
      this.#outdateWhere((copy) => copy.version < event.version);
    } else if ('tags' in event) {
      const tags = new Set(event.tags);
      this.#writing.clear();
      this.#changes.tags(tags, event.version);
      const isTagged = (copy: Copy) => copy.tags?.some((tag) => tags.has(tag)) === true;
      this.#outdateWhere((copy) => copy.version < event.version && isTagged(copy));
    }
  }

  #outdate(key: string, version: number): void {
    this.#changes.key(key, version);
    // Its own event or another one's: which one the answer tells.
    this.#writing.delete(key);
    const copy = this.#copies.peek(key);
    if (copy === undefined || copy.version >= version) return;
    this.#copies.delete(key);
    this.#invalidations += 1;
  }

  #outdateWhere(isOutdated: (copy: Copy) => boolean): void {
    for (const [key, copy] of this.#copies.entries()) {
      if (!isOutdated(copy)) continue;
      this.#copies.delete(key);
      this.#invalidations += 1;
    }
  }
}

const gapOf = ({ epoch, sequence }: Source): Gap => ({ epoch, after: sequence });
