import { EventEmitter } from 'node:events';
import type { CacheNamespace } from './cache.ts';

// `trivet/keyv`: a cache namespace as the storage of Keyv, and so of whatever takes Keyv (cache-manager, got, …).

export interface KeyvTrivetOptions {
  /** What Keyv knows adapters by: it iterates only over those whose dialect is on a list of its own. */
  readonly dialect: string;
}

type Listener = (...values: unknown[]) => void;

/** Entries that an iteration reads together. */
const pageSize = 500;

/**
 * A storage adapter for Keyv (https://keyv.org); tested with version 5.
 * Keyv hands over text that it has written itself, so any namespace will do: `trivet.cache<string>('sessions')`.
 * Several Keyv with namespaces of their own may share one: their keys begin with the name and a colon. Without a ttl
 * an entry lives as long as the namespace's `defaultTtl` says.
 */
export class KeyvTrivet {
  readonly opts: KeyvTrivetOptions = { dialect: 'redis' };
  /** Set by Keyv. */
  namespace: string | undefined = undefined;
  readonly #cache: CacheNamespace<string>;
  readonly #events = new EventEmitter();

  constructor(cache: CacheNamespace<string>) {
    this.#cache = cache;
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    return (await this.#cache.get(key)) as Value | undefined;
  }

  async getMany<Value>(keys: string[]): Promise<(Value | undefined)[]> {
    return (await this.#cache.getMany(keys)) as (Value | undefined)[];
  }

  /** @param ttl  milliseconds */
  async set(key: string, value: string, ttl?: number): Promise<boolean> {
    await this.#cache.set(key, value, lifeOf(ttl));
    return true;
  }

  async setMany(entries: { key: string; value: string; ttl?: number }[]): Promise<void> {
    const outcomes = await this.#cache.setMany(
      entries.map(({ key, value, ttl }) => ({ key, value, ...lifeOf(ttl) })),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  delete(key: string): Promise<boolean> {
    return this.#cache.delete(key);
  }

  /** True when there was any of them. */
  async deleteMany(keys: string[]): Promise<boolean> {
    return (await this.#cache.deleteMany(keys)).includes(true);
  }

  has(key: string): Promise<boolean> {
    return this.#cache.exists(key);
  }

  hasMany(keys: string[]): Promise<boolean[]> {
    return Promise.all(keys.map((key) => this.has(key)));
  }

  /** Removes what belongs to this Keyv's namespace; everything, at once, where it has none. */
  async clear(): Promise<void> {
    if (this.namespace === undefined) {
      await this.#cache.clear();
      return;
    }
    for await (const keys of this.#pages(this.namespace)) await this.#cache.deleteMany(keys);
  }

  /** Every entry with its key, as Keyv wrote it. */
  async *iterator<Value>(namespace?: string): AsyncGenerator<[string, Value], void> {
    for await (const keys of this.#pages(namespace)) {
      const values = await this.#cache.getMany(keys);
      for (const [index, key] of keys.entries()) {
        const value = values[index];
        if (value !== undefined) yield [key, value as Value];
      }
    }
  }

  /** The connection is the client's: `trivet.close()` ends it. */
  disconnect(): Promise<void> {
    return Promise.resolve();
  }

  on(event: string, listener: Listener): this {
    this.#events.on(event, listener);
    return this;
  }

  async *#pages(namespace: string | undefined): AsyncGenerator<readonly string[], void> {
    const prefix = namespace === undefined ? {} : { prefix: `${namespace}:` };
    let cursor: string | undefined;
    do {
      const page = await this.#cache.keysPage({
        limit: pageSize,
        ...prefix,
        ...(cursor === undefined ? {} : { cursor }),
      });
      if (page.keys.length > 0) yield page.keys;
      ({ cursor } = page);
    } while (cursor !== undefined);
  }
}

/** A life of less than a millisecond is one of a millisecond: 0 would be for ever. */
const lifeOf = (ttl: number | undefined): { readonly ttl?: number } =>
  ttl === undefined ? {} : { ttl: Math.max(1, Math.ceil(ttl)) };
