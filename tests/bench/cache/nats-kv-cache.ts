import { type KV, Kvm } from '@nats-io/kv';
import { StorageType } from '@nats-io/jetstream';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import type { CacheSystem } from './cache-system.ts';
import type { ServicesAddress } from './cache-task.ts';

/** A bucket of NATS KV in memory, as somebody who wants a cache would set it up. */
export class NatsKvCache implements CacheSystem {
  readonly #connection: NatsConnection;
  readonly #bucket: KV;

  static async connect({ url, user, pass }: ServicesAddress): Promise<NatsKvCache> {
    const connection = await connect({ servers: url, user, pass, noAsyncTraces: true });
    const bucket = await new Kvm(connection).create('bench', { history: 1, storage: StorageType.Memory });
    return new NatsKvCache(connection, bucket);
  }

  constructor(connection: NatsConnection, bucket: KV) {
    this.#connection = connection;
    this.#bucket = bucket;
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#bucket.get(key))?.string();
  }

  set(key: string, value: string): Promise<unknown> {
    return this.#bucket.put(key, value);
  }

  /** There is no many-get. */
  getMany(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  nearHits(): number {
    return 0;
  }

  async close(): Promise<void> {
    await this.#connection.drain();
  }
}
