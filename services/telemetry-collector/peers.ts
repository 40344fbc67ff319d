import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Subjects, Streams } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import {
  type KV,
  type Msg,
  type Nats,
  StorageType,
  type Subscription,
  subscribe,
} from '#shared/runtime/nats.ts';

export interface PeersOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly name: string;
  readonly replicas: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the other collectors say, and who of them says nothing. */
export interface Gathered {
  readonly answers: readonly { readonly name: string; readonly value: unknown }[];
  readonly silent: readonly string[];
}

/**
 * How long a collector that is gone is reckoned with, in milliseconds: ten minutes. Until then it may come back with
 * what it has counted, so nobody counts again what it may have; after that its share goes to the others. Long enough
 * for a process, a container or a machine to be started again elsewhere with its volume, which is what loses a
 * collector mostly; short enough that a lost disk holds its share, at most what one collector holds (4,000 messages,
 * about 4 MiB), back for a time that people take for an incident. They are in the stream meanwhile, and not lost.
 */
export const awaitedMs = 600_000;
const renewMs = 60_000;
const namesMs = 2_000;
const answerMsMax = 1_500;

/** The collectors that share one stream: who they are, and questions from one to the others. */
export class Peers {
  readonly #options: PeersOptions;
  #kv: KV | undefined;
  #names: readonly string[] = [];
  #namesAtMs = Number.NEGATIVE_INFINITY;
  #subscription: Subscription | undefined;
  #cancel: () => void = () => undefined;

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  /** Registers this collector, so that the others ask it, and answers them by `answer`. */
  async join(answer: (operation: string, body: unknown) => unknown): Promise<void> {
    const { nats, subjects, streams, name, replicas } = this.#options;
    this.#kv = await nats.kvm.create(streams.collectors, {
      history: 1,
      ttl: awaitedMs,
      replicas,
      storage: StorageType.File,
    });
    this.#subscription = subscribe(nats, subjects.telemetryPeer(name), {}, (message) =>
      this.#answer(message, answer),
    );
    await this.#renew();
  }

  /** The others do not wait for it any more. */
  async unregister(): Promise<void> {
    const { name, log } = this.#options;
    this.#cancel();
    // Only a favour: the registration ends by itself.
    await this.#kv?.delete(name).catch((error: unknown) => {
      log.debug({ err: error }, 'this collector could not be unregistered');
    });
  }

  leave(): void {
    this.#cancel();
    this.#subscription?.unsubscribe();
  }

  /**
   * Everybody who is registered, this one too, in the order of their names.
   * @param ageMsMax how old the list may be, in milliseconds
   */
  async names(ageMsMax = namesMs): Promise<readonly string[]> {
    const { clock, name } = this.#options;
    if (this.#kv === undefined) return [name];
    if (clock.monotonicMs() - this.#namesAtMs < ageMsMax) return this.#names;
    const names = new Set([name]);
    for await (const key of await this.#kv.keys()) names.add(key);
    this.#names = [...names].sort((one, other) => (one < other ? -1 : 1));
    this.#namesAtMs = clock.monotonicMs();
    return this.#names;
  }

  /**
   * Whether this collector is the first by name of those that answer: asked at every call, so that what one of all does
   * goes on with the next call after that one has died. Two may hold themselves for it for a moment; who acts on it
   * needs compare-and-set besides.
   */
  async isFirstAlive(): Promise<boolean> {
    const { name } = this.#options;
    const before = (await this.names()).filter((other) => other < name);
    const request = Buffer.from(packRecord({ operation: 'alive', body: null }));
    const asked = await Promise.all(before.map((other) => this.#ask(other, request)));
    return !asked.some((one) => one.isAnswered);
  }

  /** Asks every other collector. Who is gone costs nothing: NATS says at once that nobody listens. */
  async gather(operation: string, body: unknown): Promise<Gathered> {
    const names = (await this.names()).filter((name) => name !== this.#options.name);
    const request = Buffer.from(packRecord({ operation, body }));
    const asked = await Promise.all(names.map((name) => this.#ask(name, request)));
    return {
      answers: asked.filter((one) => one.isAnswered).map(({ name, value }) => ({ name, value })),
      silent: asked.filter((one) => !one.isAnswered).map(({ name }) => name),
    };
  }

  async #ask(name: string, request: Buffer) {
    const { nats, subjects } = this.#options;
    try {
      const reply = await nats.connection.request(subjects.telemetryPeer(name), request, {
        timeout: answerMsMax,
      });
      return { name, isAnswered: reply.data.length > 0, value: unpackRecord(reply.data) };
    } catch {
      // Gone, or too busy: the caller is told who said nothing.
      return { name, isAnswered: false, value: undefined };
    }
  }

  #answer(message: Msg, answer: (operation: string, body: unknown) => unknown): void {
    const { operation, body } = unpackRecord(message.data) as { operation: string; body: unknown };
    message.respond(packRecord(answer(operation, body) ?? null));
  }

  async #renew(): Promise<void> {
    const { name, clock, log } = this.#options;
    try {
      await this.#kv?.put(name, '');
    } catch (error) {
      log.warn({ err: error }, 'this collector could not be registered; trying again');
    }
    this.#cancel = clock.after(renewMs, () => void this.#renew());
  }
}
