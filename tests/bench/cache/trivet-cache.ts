import { type CacheNamespace, type Trivet, connect } from '#shared/client/client.ts';
import type { CacheSystem } from './cache-system.ts';
import type { Address } from './cache-task.ts';

type TrivetAddress = Extract<Address, { readonly system: 'trivet' }>;

/** Trivet by its public client. */
export class TrivetCache implements CacheSystem {
  readonly #trivet: Trivet;
  readonly #cache: CacheNamespace<string>;

  static async connect({ url, nearEntriesMax }: TrivetAddress): Promise<TrivetCache> {
    return new TrivetCache(await connect({ url }), nearEntriesMax);
  }

  constructor(trivet: Trivet, nearEntriesMax: number | undefined) {
    this.#trivet = trivet;
    this.#cache = trivet.cache<string>(
      'bench',
      nearEntriesMax === undefined ? {} : { near: { entriesMax: nearEntriesMax } },
    );
  }

  get(key: string): Promise<string | undefined> {
    return this.#cache.get(key);
  }

  set(key: string, value: string): Promise<unknown> {
    return this.#cache.set(key, value);
  }

  getMany(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    return this.#cache.getMany(keys);
  }

  nearHits(): number {
    return this.#cache.nearStats()?.hits ?? 0;
  }

  close(): Promise<void> {
    return this.#trivet.close();
  }
}
