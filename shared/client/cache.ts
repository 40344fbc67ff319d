import type { CacheStats, ConfigureRequest, GetReply } from '#shared/protocol/cache-schemas.ts';
import { type Encoding, json } from '#shared/protocol/encoding.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { isName } from '#shared/protocol/names.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { CacheBatches } from './cache-batches.ts';
import { CacheWire } from './cache-wire.ts';

export interface CacheNamespaceOptions {
  readonly subjects: Subjects;
  readonly namespace: string;
  /** `application/msgpack` carries bytes, dates and big integers; JSON, the default, does not. */
  readonly encoding?: Encoding;
  /** How long one request may take, in milliseconds. Default 10 s. */
  readonly timeoutMs?: number;
}

export interface SetOptions {
  /** `"30s"` or milliseconds; 0: never expires. Default: the namespace's. */
  readonly ttl?: string | number;
  /** Each hit starts the ttl again. */
  readonly sliding?: boolean;
  /** Sets nothing and rejects with `conflict` when the key is there. */
  readonly ifAbsent?: boolean;
  /** Sets nothing and rejects with `conflict` unless the entry has this version; 0: unless the key is absent. */
  readonly ifVersion?: number;
}

export interface CacheEntry<T> {
  readonly value: T;
  readonly version: number;
  /** Milliseconds until it expires; left out when it does not. */
  readonly ttlMs?: number;
}

export interface IncrementOptions {
  readonly by?: number;
  /** What a missing key counts from. Default 0. */
  readonly initial?: number;
  /** Applies when the increment makes the entry; later ones leave its expiry alone. */
  readonly ttl?: string | number;
}

/**
 * One namespace of the cache, with values of type `T`. The type is the caller's promise: what other programs put
 * there is not checked. Every method rejects with a `TrivetError`; keys are 1 to 1,024 bytes of UTF-8.
 * Gets, sets and deletes of one turn of the event loop share a message each; requests for one key keep their order.
 */
export class CacheNamespace<T = unknown> {
  readonly #batches: CacheBatches;
  readonly #filling = new Map<string, Promise<T>>();

  constructor(nats: Nats, options: CacheNamespaceOptions) {
    if (!isName(options.namespace))
      throw new TrivetError(
        refuseField('namespace', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -').error,
      );
    const wire = new CacheWire(nats, {
      subjects: options.subjects,
      namespace: options.namespace,
      encoding: options.encoding ?? json,
      timeoutMs: options.timeoutMs ?? 10_000,
    });
    this.#batches = new CacheBatches(wire);
  }

  /** The value, or undefined on a miss. */
  async get(key: string): Promise<T | undefined> {
    return valueOf(await this.#batches.get(key)) as T | undefined;
  }

  /** The value with its version (for `ifVersion`) and the rest of its ttl, or undefined on a miss. */
  async getEntry(key: string): Promise<CacheEntry<T> | undefined> {
    const { hit, value, version, ttlMs } = await this.#batches.get(key);
    if (!hit || version === undefined) return undefined;
    return { value: value as T, version, ...(ttlMs === undefined ? {} : { ttlMs }) };
  }

  /** The values in the order of `keys`, undefined for each miss. */
  async getMany(keys: readonly string[]): Promise<(T | undefined)[]> {
    const replies = await Promise.all(keys.map((key) => this.#batches.get(key)));
    return replies.map((reply) => valueOf(reply) as T | undefined);
  }

  async set(key: string, value: T, options: SetOptions = {}): Promise<{ readonly version: number }> {
    return this.#batches.set({ key, value, ...options } as { readonly key: string });
  }

  /**
   * Sets many, each on its own: one that is refused leaves the others set.
   * @returns one outcome for each, in order, as `Promise.allSettled` gives them; never rejects
   */
  async setMany(
    items: readonly ({ readonly key: string; readonly value: T } & SetOptions)[],
  ): Promise<PromiseSettledResult<{ readonly version: number }>[]> {
    return Promise.allSettled(items.map((item) => this.#batches.set(item)));
  }

  /** True when there was an entry. */
  async delete(key: string): Promise<boolean> {
    return (await this.#batches.delete(key)).deleted;
  }

  /** Whether there was an entry, for each of `keys`, in order. */
  async deleteMany(keys: readonly string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.delete(key)));
  }

  async exists(key: string): Promise<boolean> {
    return (await this.#ask<{ exists: boolean }>('exists', { key }, [key])).exists;
  }

  /** Adds to a counter, atomically; a missing key counts from `initial`. Rejects with `wrong_state` on a value that is no integer. */
  async increment(key: string, options: IncrementOptions = {}): Promise<number> {
    return (await this.#ask<{ value: number }>('increment', { key, ...options }, [key])).value;
  }

  /** Gives an entry a new ttl (0: it no longer expires). False when there is none. */
  async touch(key: string, ttl: string | number): Promise<boolean> {
    return (await this.#ask<{ touched: boolean }>('touch', { key, ttl }, [key])).touched;
  }

  /** Removes every entry, whatever their number, at once. Returns how many there were. */
  async clear(): Promise<number> {
    return (await this.#ask<{ cleared: number }>('clear', {})).cleared;
  }

  /** Every key with `prefix`, page by page. A key that does not change meanwhile comes exactly once. */
  async *keys(options: { readonly prefix?: string; readonly limit?: number } = {}): AsyncGenerator<string> {
    let cursor: string | undefined;
    do {
      const page = await this.keysPage(cursor === undefined ? options : { ...options, cursor });
      yield* page.keys;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /** One page of keys. A page may be short or empty and still have a `cursor`: only a page without one is the last. */
  keysPage(options: { readonly prefix?: string; readonly limit?: number; readonly cursor?: string } = {}) {
    return this.#ask<{ readonly keys: readonly string[]; readonly cursor?: string }>('keys', options);
  }

  stats(): Promise<CacheStats> {
    return this.#ask('stats', {});
  }

  /** Changes quotas or the default ttl; returns the namespace's figures with the new ones. */
  configure(settings: ConfigureRequest): Promise<CacheStats> {
    return this.#ask('configure', settings);
  }

  /**
   * The value of `key`; on a miss what `fill` returns, which is then set. Callers in this process that ask for the
   * same key at once share one lookup and one `fill`; when it rejects, all of them reject and nothing is set. A cache
   * that cannot be reached counts as a miss, so that the source still serves.
   */
  async getOrSet(key: string, fill: () => T | Promise<T>, options: SetOptions = {}): Promise<T> {
    const running = this.#filling.get(key);
    if (running !== undefined) return running;
    const filling = this.#getOrFill(key, fill, options);
    this.#filling.set(key, filling);
    try {
      return await filling;
    } finally {
      this.#filling.delete(key);
    }
  }

  /** A function that answers from the cache: `getOrSet` with a key made of its arguments. */
  wrap<Arguments extends unknown[]>(
    compute: (...args: Arguments) => T | Promise<T>,
    options: SetOptions & { readonly key: (...args: Arguments) => string },
  ): (...args: Arguments) => Promise<T> {
    const { key, ...setOptions } = options;
    return (...args) => this.getOrSet(key(...args), () => compute(...args), setOptions);
  }

  async #getOrFill(key: string, fill: () => T | Promise<T>, options: SetOptions): Promise<T> {
    const found = await this.#getIfReachable(key);
    if (found !== undefined) return found;
    const value = await fill();
    // "Nothing found" is not a value: the next caller asks the source again.
    if (value !== undefined) await this.set(key, value, options).catch(ignoreUnreachable);
    return value;
  }

  async #getIfReachable(key: string): Promise<T | undefined> {
    try {
      return await this.get(key);
    } catch (error) {
      return ignoreUnreachable(error);
    }
  }

  async #ask<Reply>(operation: string, body: unknown, keys?: readonly string[]): Promise<Reply> {
    const result = await this.#batches.request(operation, body, keys);
    if (!result.ok) throw new TrivetError(result.error);
    return result.value as Reply;
  }
}

const valueOf = (reply: GetReply): unknown => (reply.hit ? reply.value : undefined);

/** Answers an error that says "not now" with undefined; throws any other. */
function ignoreUnreachable(error: unknown): undefined {
  if (error instanceof TrivetError && error.retryable) return undefined;
  throw error;
}
