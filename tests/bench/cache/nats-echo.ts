import { type NatsConnection, connect } from '@nats-io/transport-node';
import type { CacheSystem } from './cache-system.ts';
import type { ServicesAddress } from './cache-task.ts';
import { valueOf } from './mix.ts';

const subject = 'bench.echo';
const decoder = new TextDecoder();

/**
 * A bare request and its reply: the least that an answer over NATS can cost. Each such client also answers, in a queue
 * group, so that one process asks and another one answers.
 */
export class NatsEcho implements CacheSystem {
  readonly #connection: NatsConnection;

  static async connect({ url, user, pass }: ServicesAddress): Promise<NatsEcho> {
    return new NatsEcho(await connect({ servers: url, user, pass, noAsyncTraces: true }));
  }

  constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  /** Begins to answer: any key is answered with a value of the usual size. */
  serve(): void {
    this.#connection.subscribe(subject, {
      callback: (_, message) => {
        message.respond(valueOf(decoder.decode(message.data), 0));
      },
    });
  }

  async get(key: string): Promise<string | undefined> {
    return (await this.#connection.request(subject, key)).string();
  }

  /** Nothing is kept; `fill` makes the process the one that answers. */
  set(): Promise<unknown> {
    this.serve();
    return this.#connection.flush();
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
