import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import type { CacheSystem } from './cache-system.ts';

/** BentoCache's memory layer as it is fastest: values are kept as they are, without serialization. */
export class BentoMemoryCache implements CacheSystem {
  readonly #bento = new BentoCache({
    default: 'memory',
    stores: {
      memory: bentostore().useL1Layer(memoryDriver({ maxItems: 20_000, serialize: false })),
    },
  });

  async get(key: string): Promise<string | undefined> {
    return (await this.#bento.get<string>({ key })) ?? undefined;
  }

  set(key: string, value: string): Promise<unknown> {
    return this.#bento.set({ key, value });
  }

  getMany(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  nearHits(): number {
    return 0;
  }

  close(): Promise<void> {
    return this.#bento.disconnectAll();
  }
}
