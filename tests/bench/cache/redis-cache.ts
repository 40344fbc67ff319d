import { Redis } from 'ioredis';
import type { CacheSystem } from './cache-system.ts';

/** ioredis with auto-pipelining: what is asked in one turn of the event loop goes out together, as with our client. */
export class RedisCache implements CacheSystem {
  readonly #redis: Redis;

  constructor(port: number) {
    this.#redis = new Redis({ host: '127.0.0.1', port, enableAutoPipelining: true });
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#redis.get(key)) ?? undefined;
  }

  set(key: string, value: string): Promise<unknown> {
    return this.#redis.set(key, value);
  }

  async getMany(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    return (await this.#redis.mget([...keys])).map((value) => value ?? undefined);
  }

  nearHits(): number {
    return 0;
  }

  async close(): Promise<void> {
    await this.#redis.quit();
  }
}
