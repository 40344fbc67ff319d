import { type NatsConnection, connect } from '@nats-io/transport-node';
import type { CacheSystem } from './cache-system.ts';
import type { ServicesAddress } from './cache-task.ts';
import { valueOf } from './mix.ts';

const subject = 'bench.echo';
const decoder = new TextDecoder();

/** A bare request and its reply: the least that an answer over NATS can cost. One process asks, another one answers. */
export class NatsEcho implements CacheSystem {
  readonly #connection: NatsConnection;

  static async connect({ url, user, pass, answers }: ServicesAddress): Promise<NatsEcho> {
    const connection = await connect({ servers: url, user, pass, noAsyncTraces: true });
    if (answers === true) answer(connection);
    // The server has heard of the subscription before anybody asks.
    await connection.flush();
    return new NatsEcho(connection);
  }

  constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#connection.request(subject, key)).string();
  }

  /** Nothing is kept. */
  set(): Promise<unknown> {
    return Promise.resolve();
  }

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

/** Any key is answered with a value of the usual size. */
function answer(connection: NatsConnection): void {
  connection.subscribe(subject, {
    callback: (_, message) => {
      message.respond(valueOf(decoder.decode(message.data), 0));
    },
  });
}
