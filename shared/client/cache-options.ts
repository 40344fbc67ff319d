import type { Encoding } from '#shared/protocol/encoding.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { CacheRouting } from './cache-routing.ts';
import type { NearCache } from './near-cache.ts';
import type { PayloadSchema } from './payload-schema.ts';

// What the methods of a cache namespace take and give.

/** A duration: `"250ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`, or milliseconds. */
export type Ttl = string | number;

export interface NearCacheOptions {
  /** Most entries kept in this process; the one used longest ago goes first. Default 10,000. */
  readonly entriesMax?: number | undefined;
  /** Longest life of a copy, whatever its entry's ttl. Default 1 minute. */
  readonly ttl?: Ttl | undefined;
}

export interface CacheOptions<T = unknown> {
  /** `application/msgpack` carries bytes, dates, maps, sets and big integers; JSON, the default, does not. */
  readonly encoding?: Encoding | undefined;
  /** How long one request may take, in milliseconds. Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /**
   * Any Standard Schema. A value that does not fit is refused by `set`, and is a miss for whoever reads it: what
   * another program, or another version of this one, has put there.
   */
  readonly schema?: PayloadSchema<unknown, T> | undefined;
  /**
   * Keeps copies in this process, and turns on (`configure`) that the namespace tells what changes. `true`: with the
   * defaults. All that use one namespace of one client share the copies. Off unless asked for.
   */
  readonly near?: NearCacheOptions | boolean | undefined;
  /** Hears of a refresh in the background that failed. Without it that is a warning of Node.js (`TrivetWarning`). */
  readonly onError?: ((error: unknown, key: string) => void) | undefined;
}

/** What a namespace lives on. */
export interface CacheParts {
  readonly nats: Nats;
  readonly clock?: Clock;
  /** Shared by all that use one namespace of one client in one encoding. */
  readonly near?: NearCache;
}

export interface CacheNamespaceOptions<T = unknown> extends CacheOptions<T> {
  readonly subjects: Subjects;
  readonly namespace: string;
  /** Default: any node. */
  readonly routing?: CacheRouting;
}

export interface SetOptions {
  /** 0: never expires. Default: the namespace's. */
  readonly ttl?: Ttl | undefined;
  /** Each hit starts the ttl again. */
  readonly sliding?: boolean | undefined;
  /** How long after its ttl it may still be served, while somebody fetches a fresh one. Default: the namespace's. */
  readonly grace?: Ttl | undefined;
  /** Words by which `invalidateTags` removes it: 64 of 256 characters at most. */
  readonly tags?: readonly string[] | undefined;
  /** Sets nothing and rejects with `conflict` when the key is there. */
  readonly ifAbsent?: boolean | undefined;
  /** Sets nothing and rejects with `conflict` unless the entry has this version; 0: unless the key is absent. */
  readonly ifVersion?: number | undefined;
}

/** What a fill is called with. */
export interface FillContext<T> {
  readonly key: string;
  /** What was there before, where its grace is not over. */
  readonly stale: T | undefined;
}

export type Fill<T> = (context: FillContext<T>) => T | Promise<T>;

/** A fill whose source may have nothing: undefined is not set, and is what its callers get. */
export type Find<T> = (context: FillContext<T>) => T | undefined | Promise<T | undefined>;

export interface GetOrSetOptions<T> {
  /** Of what is filled: a duration, or a function of the value. 0: never expires. Default: the namespace's. */
  readonly ttl?: Ttl | ((value: T) => Ttl | undefined) | undefined;
  readonly sliding?: boolean | undefined;
  readonly grace?: Ttl | undefined;
  /** Words, or a function of the value. */
  readonly tags?: readonly string[] | ((value: T) => readonly string[]) | undefined;
  /**
   * How long to wait for a fresh value where there is a stale one; then the stale one is returned and the fill goes
   * on. Default 0: the stale one at once.
   */
  readonly softTimeout?: Ttl | undefined;
  /**
   * How long to wait at all; then it rejects with `timeout`. The fill goes on, and what it returns is set. Default:
   * as long as the fill takes.
   */
  readonly hardTimeout?: Ttl | undefined;
  /** How long a failed fill is remembered for everybody, who is then refused at once. Default: not at all. */
  readonly negativeTtl?: Ttl | undefined;
  /** How long the right to fill is good: longer than the fill takes. Default 30 s. */
  readonly lease?: Ttl | undefined;
  /** Fills whatever is there. */
  readonly forceFresh?: boolean | undefined;
  /**
   * Asks with `load` even for what is there, so that the namespace's `earlyRefresh` can pick this caller. It costs a
   * message a call, where hits otherwise share theirs.
   */
  readonly earlyRefresh?: boolean | undefined;
}

export type ForeverOptions<T> = Omit<GetOrSetOptions<T>, 'ttl' | 'grace'>;

export type WrapOptions<T, Arguments extends unknown[]> = GetOrSetOptions<T> & {
  readonly key: (...args: Arguments) => string;
};

export interface CacheEntry<T> {
  readonly value: T;
  readonly version: number;
  /** Milliseconds until it expires; left out when it does not. */
  readonly ttlMs?: number;
  /** Its ttl is over and its grace is not. */
  readonly stale?: boolean;
}

export interface IncrementOptions {
  readonly by?: number | undefined;
  /** What a missing key counts from. Default 0. */
  readonly initial?: number | undefined;
  /** Applies when the increment makes the entry; later ones leave its expiry alone. */
  readonly ttl?: Ttl | undefined;
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
