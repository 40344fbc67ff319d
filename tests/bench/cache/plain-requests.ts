import { type NatsConnection, connect } from '@nats-io/transport-node';
import type { CacheSystem } from './cache-system.ts';
import type { Address } from './cache-task.ts';

type PlainAddress = Extract<Address, { readonly system: 'trivet-plain' }>;

/** Trivet without its client: any NATS client's requests in JSON, a message for each call. */
export class PlainRequests implements CacheSystem {
  readonly #connection: NatsConnection;

  static async connect({ url }: PlainAddress): Promise<PlainRequests> {
    return new PlainRequests(await connect({ servers: url, noAsyncTraces: true }));
  }

  constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#ask<{ readonly value?: string }>('get', { key })).value;
  }

  set(key: string, value: string): Promise<unknown> {
    return this.#ask('set', { key, value });
  }

  async getMany(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    const { items } = await this.#ask<{ readonly items: readonly { readonly value?: string }[] }>(
      'get-many',
      { keys },
    );
    return items.map(({ value }) => value);
  }

  nearHits(): number {
    return 0;
  }

  async close(): Promise<void> {
    await this.#connection.drain();
  }

  async #ask<Reply>(operation: string, body: object): Promise<Reply> {
    const reply = await this.#connection.request(`trivet.cache.bench.${operation}`, JSON.stringify(body), {
      timeout: 10_000,
    });
    return reply.json<Reply>();
  }
}
