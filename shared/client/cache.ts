import type { CacheStats, ConfigureRequest, GetReply, LoadReply } from '#shared/protocol/cache-schemas.ts';
import { json } from '#shared/protocol/encoding.ts';
import { type Result, TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { isName } from '#shared/protocol/names.ts';
import { type Clock, systemClock } from '#shared/runtime/clock.ts';
import { CacheBatches } from './cache-batches.ts';
import { CacheFill, type Found, valueFound, warnOfRefresh } from './cache-fill.ts';
import type {
  CacheEntry,
  CacheNamespaceOptions,
  CacheParts,
  Fill,
  Find,
  ForeverOptions,
  GetOrSetOptions,
  IncrementOptions,
  NearStats,
  SetOptions,
  Ttl,
  WrapOptions,
} from './cache-options.ts';
import { anyNode } from './cache-routing.ts';
import { CacheWire, type KeysOptions, isRefused, refusedItem, updatesMax, valueOf } from './cache-wire.ts';
import type { Began, Kept, NearCache } from './near-cache.ts';
import { type PayloadSchema, checkPayload } from './payload-schema.ts';
import { SharedReads, type WriteOptions, isConstant } from './shared-reads.ts';

/**
 * One namespace of the cache, with values of type `T`. Without a `schema` the type is the caller's promise: what other
 * programs put there is not checked. Every method rejects with a `TrivetError`; keys are 1 to 1,024 bytes of UTF-8.
 * Gets, sets and deletes of one turn of the event loop share messages; requests for one key keep their
 * order, but for those under way while the key moves to another node.
 */
export class CacheNamespace<T = unknown> {
  readonly name: string;
  readonly #batches: CacheBatches;
  readonly #wire: CacheWire;
  readonly #clock: Clock;
  readonly #near: NearCache | undefined;
  readonly #schema: PayloadSchema<unknown, T> | undefined;
  readonly #fill: CacheFill<T>;
  readonly #reads: SharedReads<T> | undefined;

  constructor(parts: CacheParts, options: CacheNamespaceOptions<T>) {
    const { subjects, namespace, timeoutMs = 10_000, encoding = json, onError } = options;
    if (!isName(namespace))
      throw new TrivetError(
        refuseField('namespace', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -').error,
      );
    this.name = namespace;
    const routing = options.routing ?? anyNode(subjects, namespace);
    this.#wire = new CacheWire(parts.nats, { routing, encoding, timeoutMs });
    this.#batches = new CacheBatches(this.#wire);
    this.#clock = parts.clock ?? systemClock;
    this.#near = parts.near;
    this.#reads = parts.near && new SharedReads(parts.near);
    this.#schema = options.schema;
    this.#fill = new CacheFill({
      clock: this.#clock,
      read: (key) => this.#found(key),
      load: (key, body) => this.#load(key, body, timeoutMs),
      loadFailed: async (key, body) => {
        // Refused when the right has ended: then there is nobody left to tell.
        await this.#batches.request('load-failed', { key, ...body }, key);
      },
      remove: (key, ifVersion) => this.#batches.request('delete', { key, ifVersion }, key),
      set: (key, value, setOptions) => this.#set(key, value, setOptions),
      valueOf: (value) => this.#fitting(value),
      failed: onError ?? ((error, key) => warnOfRefresh(namespace, key, error)),
    });
  }

  /** The value, or undefined on a miss. */
  get(key: string): Promise<T | undefined> {
    const copy = this.#near?.read(key, this.#clock.monotonicMs(), this.#schema);
    if (copy !== undefined) return Promise.resolve(copy.value as T);
    if (this.#near !== undefined || this.#schema !== undefined) return this.#found(key).then(valueFound);
    return this.#batches.read(key, valueOf) as Promise<T | undefined>;
  }

  /**
   * The value with its version (for `ifVersion`) and the rest of its ttl, or undefined on a miss. Always asks the node.
   */
  async getEntry(key: string): Promise<CacheEntry<T> | undefined> {
    const entry = await this.#entry(key);
    return entry?.value === undefined ? undefined : { ...entry, value: entry.value };
  }

  /** As `getEntry`; a value that does not fit the schema is undefined, and its version is still that of the key. */
  async #entry(key: string): Promise<CacheEntry<T | undefined> | undefined> {
    const { hit, value, version, ttlMs, stale } = await this.#batches.get(key);
    if (!hit || version === undefined) return undefined;
    const ttl = ttlMs === undefined ? {} : { ttlMs };
    return { value: await this.#fitting(value), version, ...ttl, ...(stale === undefined ? {} : { stale }) };
  }

  /** The values in the order of `keys`, undefined for each miss: one message a node, without a promise for each key. */
  async getMany(keys: readonly string[]): Promise<(T | undefined)[]> {
    const values: (T | undefined)[] = Array.from({ length: keys.length });
    const asked = this.#near?.readMany(keys, values, {
      nowMs: this.#clock.monotonicMs(),
      form: this.#schema,
    });
    const began = this.#beginRead();
    const wanted = asked?.map((index) => keys[index] ?? '') ?? keys;
    const items = await this.#batches.getMany(wanted);
    for (const [at, item] of items.entries()) {
      if (isRefused(item)) throw refusedItem(item);
      const fitting = this.#schema === undefined ? item : await this.#replyFitting(item);
      this.#keep(wanted[at] ?? '', fitting, began);
      values[asked?.[at] ?? at] = valueOf(fitting) as T | undefined;
    }
    return values;
  }

  set(key: string, value: T, options?: WriteOptions): Promise<{ readonly version: number }> {
    this.#fill.forget(key);
    return this.#set(key, value, options);
  }

  #set(key: string, value: T, options?: WriteOptions): Promise<{ readonly version: number }> {
    if (this.#schema !== undefined) return this.#setChecked(key, value, options);
    try {
      return this.#send(key, value, options);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** What is set must fit; what travels is what was given, so that a schema that converts can read it again. */
  async #setChecked(key: string, value: T, options?: WriteOptions) {
    const checked = this.#schema === undefined ? undefined : await checkPayload(this.#schema, value, 'value');
    if (checked?.ok === false) throw new TrivetError(checked.error);
    return this.#send(key, value, options);
  }

  #send(key: string, value: T, options?: WriteOptions) {
    const encoded = this.#wire.encodeSet(key, value, options);
    this.#near?.forget(key);
    const written = this.#batches.set(key, encoded);
    if (this.#near === undefined) return written;
    // What its owner can still change is not what was written, and what a schema reads is another value.
    if (this.#schema === undefined && isConstant(value))
      this.#reads?.shareWrite(key, { value, written, options, nowMs: this.#clock.monotonicMs() }, () =>
        this.#read(key),
      );
    return written.then(({ version }) => ({ version }));
  }

  /** As `set`, with no end to its life. */
  setForever(key: string, value: T, options: Omit<SetOptions, 'ttl' | 'sliding' | 'grace'> = {}) {
    return this.set(key, value, { ...options, ttl: 0 });
  }

  /**
   * Sets many, each on its own: one that is refused leaves the others set.
   * @returns one outcome for each, in order, as `Promise.allSettled` gives them; never rejects
   */
  setMany(
    items: readonly ({ readonly key: string; readonly value: T } & SetOptions)[],
  ): Promise<PromiseSettledResult<{ readonly version: number }>[]> {
    return Promise.allSettled(items.map(({ key, value, ...options }) => this.set(key, value, options)));
  }

  /** True when there was an entry. */
  async delete(key: string): Promise<boolean> {
    this.#forget(key);
    return (await this.#batches.delete(key)).deleted;
  }

  /** Whether there was an entry, for each of `keys`, in order. */
  deleteMany(keys: readonly string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.delete(key)));
  }

  /** The value, which is then gone; undefined on a miss. Of several callers at once one gets it, and nobody loses another one. */
  async pull(key: string): Promise<T | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const entry = await this.getEntry(key);
      if (entry === undefined) return undefined;
      this.#forget(key);
      const body = { key, ifVersion: entry.version };
      const deleted = await this.#batches.request('delete', body, key);
      if (deleted.ok && (deleted.value as { deleted: boolean }).deleted) return entry.value;
      if (!deleted.ok && (deleted.error.code !== 'conflict' || attempt === updatesMax))
        throw new TrivetError(deleted.error);
    }
  }

  async exists(key: string): Promise<boolean> {
    return (await this.#ask<{ exists: boolean }>('exists', { key }, key)).exists;
  }

  /** Adds to a counter, atomically; a missing key counts from `initial`. Rejects with `wrong_state` on a value that is no integer. */
  async increment(key: string, options: IncrementOptions = {}): Promise<number> {
    this.#forget(key);
    return (await this.#ask<{ value: number }>('increment', { key, ...options }, key)).value;
  }

  /** `increment` by `-by`. */
  decrement(key: string, options: IncrementOptions = {}): Promise<number> {
    return this.increment(key, { ...options, by: -(options.by ?? 1) });
  }

  /**
   * Sets what `change` makes of the value that is there (undefined: none), and begins anew when somebody else was
   * quicker, so that no update is lost. Rejects with `conflict` after a thousand times.
   */
  async update(
    key: string,
    change: (value: T | undefined) => T | Promise<T>,
    options: Omit<SetOptions, 'ifAbsent' | 'ifVersion'> = {},
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const entry = await this.#entry(key);
      const isThere = entry !== undefined && entry.stale !== true;
      const value = await change(entry?.value);
      try {
        await this.set(key, value, { ...options, ifVersion: isThere ? entry.version : 0 });
        return value;
      } catch (error) {
        const wasOvertaken = error instanceof TrivetError && error.code === 'conflict';
        if (!wasOvertaken || attempt === updatesMax) throw error;
      }
    }
  }

  /** Gives an entry a new ttl (0: it no longer expires). False when there is none. */
  async touch(key: string, ttl: Ttl): Promise<boolean> {
    this.#forget(key);
    return (await this.#ask<{ touched: boolean }>('touch', { key, ttl }, key)).touched;
  }

  /** Removes every entry, whatever their number, at once. Returns how many there were. */
  async clear(): Promise<number> {
    this.#fill.forgetAll();
    this.#near?.forgetAll();
    try {
      return (await this.#ask<{ cleared: number }>('clear', {})).cleared;
    } finally {
      // What was read meanwhile came perhaps from a node that was not reached yet.
      this.#near?.forgetAll();
      this.#fill.forgetAll();
    }
  }

  /** Removes every entry that was set with one of these tags, whatever their number, at once. Returns how many tags were known. */
  async invalidateTags(tags: readonly string[]): Promise<number> {
    this.#fill.forgetAll();
    this.#near?.forgetTags(tags);
    try {
      return (await this.#ask<{ tags: number }>('invalidate-tags', { tags })).tags;
    } finally {
      this.#near?.forgetTags(tags);
      this.#fill.forgetAll();
    }
  }

  /** Every key with `prefix`, page by page. A key that does not change meanwhile comes, and comes once unless it moves to another node. */
  async *keys(options: Omit<KeysOptions, 'cursor'> = {}): AsyncGenerator<string> {
    let cursor: string | undefined;
    do {
      const page = await this.keysPage({ ...options, cursor });
      yield* page.keys;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  /** One page of keys. A page may be short or empty and still have a `cursor`: only a page without one is the last. */
  keysPage(options: KeysOptions = {}) {
    return this.#ask<{ readonly keys: readonly string[]; readonly cursor?: string }>('keys', options);
  }

  stats(): Promise<CacheStats> {
    return this.#ask('stats', {});
  }

  /** Figures of the copies in this process; undefined where the near cache is off. */
  nearStats(): NearStats | undefined {
    return this.#near?.stats(this.#clock.monotonicMs());
  }

  /** Changes the namespace's settings; returns its figures with the new ones. What is left out keeps. */
  configure(settings: ConfigureRequest): Promise<CacheStats> {
    return this.#ask('configure', settings);
  }

  /**
   * The value of `key`; on a miss what `fill` returns, which is then set. One caller in the whole cluster fills, and
   * the others get what it set; when it rejects, all reject and nothing is set. In its grace a stale value comes at
   * once, while one caller fetches a fresh one. A cache that cannot be reached counts as a miss.
   */
  getOrSet(key: string, fill: Fill<T>, options?: GetOrSetOptions<T>): Promise<T>;
  getOrSet(key: string, fill: Find<T>, options?: GetOrSetOptions<T>): Promise<T | undefined>;
  async getOrSet(key: string, fill: Find<T>, options: GetOrSetOptions<T> = {}): Promise<T | undefined> {
    if (options.forceFresh !== true && options.earlyRefresh !== true) {
      const copy = this.#near?.read(key, this.#clock.monotonicMs(), this.#schema);
      if (copy !== undefined) return copy.value as T;
    }
    return this.#fill.getOrSet(key, fill as Fill<T>, options);
  }

  /** As `getOrSet`, with no end to what was filled. */
  getOrSetForever(key: string, fill: Fill<T>, options?: ForeverOptions<T>): Promise<T>;
  getOrSetForever(key: string, fill: Find<T>, options?: ForeverOptions<T>): Promise<T | undefined>;
  getOrSetForever(key: string, fill: Find<T>, options: ForeverOptions<T> = {}): Promise<T | undefined> {
    return this.getOrSet(key, fill, { ...options, ttl: 0 });
  }

  /** A function that answers from the cache: `getOrSet` with a key made of its arguments. */
  wrap<Arguments extends unknown[]>(
    compute: (...args: Arguments) => T | Promise<T>,
    options: WrapOptions<T, Arguments>,
  ): (...args: Arguments) => Promise<T>;
  wrap<Arguments extends unknown[]>(
    compute: (...args: Arguments) => ReturnType<Find<T>>,
    options: WrapOptions<T, Arguments>,
  ): (...args: Arguments) => Promise<T | undefined>;
  wrap<Arguments extends unknown[]>(
    compute: (...args: Arguments) => ReturnType<Find<T>>,
    options: WrapOptions<T, Arguments>,
  ): (...args: Arguments) => Promise<T | undefined> {
    const { key, ...fillOptions } = options;
    return (...args) => this.getOrSet(key(...args), () => compute(...args), fillOptions);
  }

  /** This process changes the key: nobody shares what was begun before, or is served a copy. */
  #forget(key: string): void {
    this.#fill.forget(key);
    this.#near?.forget(key);
  }

  /** With a near cache those who miss a key at once share one read, unless it has changed since that one began. */
  #found(key: string): Promise<Found<T>> {
    const near = this.#near;
    if (near === undefined) return this.#read(key);
    const shared = this.#reads?.of(key);
    if (shared !== undefined) return shared;
    const stamp = near.beginRead();
    const found = this.#schema === undefined ? this.#readNear(key, stamp) : this.#read(key);
    this.#reads?.share(key, stamp, found);
    return found;
  }

  /** As `#read`, in one step. */
  #readNear(key: string, stamp: number): Promise<Found<T>> {
    const atMs = this.#clock.monotonicMs();
    return this.#batches.read(key, (reply) => {
      this.#near?.keep(key, reply, stamp, atMs);
      return { value: valueOf(reply) as T | undefined, stale: reply.stale === true };
    });
  }

  async #read(key: string): Promise<Found<T>> {
    const began = this.#beginRead();
    const reply = await this.#batches.get(key);
    const fitting = this.#schema === undefined ? reply : await this.#replyFitting(reply);
    this.#keep(key, fitting, began);
    return { value: valueOf(fitting) as T | undefined, stale: fitting.stale === true };
  }

  #beginRead(): Began | undefined {
    if (this.#near === undefined) return undefined;
    return { stamp: this.#near.beginRead(), atMs: this.#clock.monotonicMs() };
  }

  #keep(key: string, reply: Kept, began: Began | undefined): void {
    const kept = this.#schema === undefined ? reply : { ...reply, form: this.#schema };
    if (began !== undefined) this.#near?.keep(key, kept, began.stamp, began.atMs);
  }

  async #load(
    key: string,
    body: { readonly lease: number; readonly wait: number },
    timeoutMs: number,
  ): Promise<Result<LoadReply>> {
    const reply = await this.#batches.request('load', { key, ...body }, key, body.wait + timeoutMs);
    return reply as Result<LoadReply>;
  }

  /** A value of the wire by its schema; undefined where it does not fit. */
  #fitting(value: unknown): T | undefined | Promise<T | undefined> {
    if (this.#schema === undefined) return value as T;
    const checked = checkPayload(this.#schema, value, 'value');
    const fitting = (result: Result<T>) => (result.ok ? result.value : undefined);
    return checked instanceof Promise ? checked.then(fitting) : fitting(checked);
  }

  async #replyFitting(reply: GetReply): Promise<GetReply> {
    if (!reply.hit) return reply;
    const value = await this.#fitting(reply.value);
    return value === undefined ? { hit: false } : { ...reply, value };
  }

  async #ask<Reply>(operation: string, body: unknown, key?: string): Promise<Reply> {
    const result = await this.#batches.request(operation, body, key);
    if (!result.ok) throw new TrivetError(result.error);
    return result.value as Reply;
  }
}
