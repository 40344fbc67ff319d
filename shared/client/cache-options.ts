import type { Encoding } from '#shared/protocol/encoding.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { CacheRouting } from './cache-routing.ts';
import type { PayloadSchema } from './payload-schema.ts';

// What the methods of a cache namespace take and give.

/** A duration: `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`, or milliseconds. */
export type Ttl = string | number;

export interface NearCacheOptions {
  /** Most entries kept in this process; the one used longest ago goes first. Default 10,000. */
  readonly entriesMax?: number;
  /** Longest life of a copy, whatever its entry's ttl. Default 1 minute. */
  readonly ttl?: Ttl;
}

export interface CacheOptions<T = unknown> {
  /** `application/msgpack` carries bytes, dates, maps, sets and big integers; JSON, the default, does not. */
  readonly encoding?: Encoding;
  /** How long one request may take, in milliseconds. Default 10 s. */
  readonly timeoutMs?: number;
  /**
   * Any Standard Schema. A value that does not fit is refused by `set`, and is a miss for whoever reads it: what
   * another program, or another version of this one, has put there.
   */
  readonly schema?: PayloadSchema<unknown, T>;
  /**
   * Keeps copies in this process, and turns on (`configure`) that the namespace tells what changes. `true`: with the
   * defaults. All that use one namespace of one client share the copies. Off unless asked for.
   */
  readonly near?: NearCacheOptions | boolean;
  /** Hears of a refresh in the background that failed. Without it that is a warning of Node.js (`TrivetWarning`). */
  readonly onError?: (error: unknown, key: string) => void;
}

export interface CacheNamespaceOptions<T = unknown> extends CacheOptions<T> {
  readonly subjects: Subjects;
  readonly namespace: string;
  /** Default: any node. */
  readonly routing?: CacheRouting;
}

export interface SetOptions {
  /** 0: never expires. Default: the namespace's. */
  readonly ttl?: Ttl;
  /** Each hit starts the ttl again. */
  readonly sliding?: boolean;
  /** How long after its ttl it may still be served, while somebody fetches a fresh one. Default: the namespace's. */
  readonly grace?: Ttl;
  /** Words by which `invalidateTags` removes it: 64 of 256 characters at most. */
  readonly tags?: readonly string[];
  /** Sets nothing and rejects with `conflict` when the key is there. */
  readonly ifAbsent?: boolean;
  /** Sets nothing and rejects with `conflict` unless the entry has this version; 0: unless the key is absent. */
  readonly ifVersion?: number;
}

/** What a fill is called with. */
export interface FillContext<T> {
  readonly key: string;
  /** What was there before, where its grace is not over. */
  readonly stale: T | undefined;
}

export type Fill<T> = (context: FillContext<T>) => T | Promise<T>;

export interface GetOrSetOptions<T> {
  /** Of what is filled: a duration, or a function of the value. 0: never expires. Default: the namespace's. */
  readonly ttl?: Ttl | ((value: T) => Ttl | undefined);
  readonly sliding?: boolean;
  readonly grace?: Ttl;
  /** Words, or a function of the value. */
  readonly tags?: readonly string[] | ((value: T) => readonly string[]);
  /**
   * How long to wait for a fresh value where there is a stale one; then the stale one is returned and the fill goes
   * on. Default 0: the stale one at once.
   */
  readonly softTimeout?: Ttl;
  /**
   * How long to wait at all; then it rejects with `timeout`. The fill goes on, and what it returns is set. Default:
   * as long as the fill takes.
   */
  readonly hardTimeout?: Ttl;
  /** How long a failed fill is remembered for everybody, who is then refused at once. Default: not at all. */
  readonly negativeTtl?: Ttl;
  /** How long the right to fill is good: longer than the fill takes. Default 30 s. */
  readonly lease?: Ttl;
  /** Fills whatever is there. */
  readonly forceFresh?: boolean;
  /**
   * Asks with `load` even for what is there, so that the namespace's `earlyRefresh` can pick this caller. It costs a
   * message a call, where hits otherwise share theirs.
   */
  readonly earlyRefresh?: boolean;
}

export interface CacheEntry<T> {
  readonly value: T;
  readonly version: number;
  /** Milliseconds until it expires; left out when it does not. */
  readonly ttlMs?: number;
  /** Its ttl is over and its grace is not. */
  readonly stale?: boolean;
}

export interface IncrementOptions {
  readonly by?: number;
  /** What a missing key counts from. Default 0. */
  readonly initial?: number;
  /** Applies when the increment makes the entry; later ones leave its expiry alone. */
  readonly ttl?: Ttl;
}

/** Figures of the copies in this process. */
export interface NearStats {
  readonly entries: number;
  readonly hits: number;
  /** Asked for here and not found: went to the node. */
  readonly misses: number;
  /** Copies dropped since an event said that they are out of date. */
  readonly invalidations: number;
  /** Times that events were found to be missing. */
  readonly gaps: number;
  /** Copies dropped since nobody could tell what was missed. */
  readonly dropped: number;
  /** Whether copies are served now: somebody says every two seconds that nothing was missed. */
  readonly live: boolean;
}
