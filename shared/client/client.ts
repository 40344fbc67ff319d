import { type Subjects, subjectsFor } from '#shared/protocol/subjects.ts';
import { type Nats, connectNats } from '#shared/runtime/nats.ts';
import { CacheNamespace, type CacheNamespaceOptions } from './cache.ts';
import { Queue } from './queue.ts';
import { Telemetry } from './telemetry.ts';
import { type Handler, Worker, type WorkerOptions } from './worker.ts';

export { TrivetError } from '#shared/protocol/errors.ts';
export { CacheNamespace } from './cache.ts';
export { Queue, type AddOptions, type Added } from './queue.ts';
export { Telemetry } from './telemetry.ts';
export { DoNotRetry, Worker, type Handler, type Job, type WorkerOptions } from './worker.ts';

export interface ConnectOptions {
  /** Default `NATS_URL`, then nats://127.0.0.1:4222. */
  readonly url?: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** First token of every subject. Default `TRIVET_PREFIX`, then `trivet`. */
  readonly prefix?: string;
  /** Shown by nats-server for this connection, and the `source` of its telemetry. Default `trivet-client`. */
  readonly name?: string;
}

/** A connection to Trivet: queues, workers, caches and telemetry over one NATS connection. */
export class Trivet {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly telemetry: Telemetry;
  readonly #queues = new Map<string, Queue>();
  readonly #workers: { stop(): Promise<void> }[] = [];

  constructor(nats: Nats, prefix: string, name: string) {
    this.nats = nats;
    this.subjects = subjectsFor(prefix);
    this.telemetry = new Telemetry(nats, this.subjects, { source: name });
  }

  /**
   * The producer's side of a queue, the same object for the same name, so that all who add to it share its messages.
   * No queue has to be announced first.
   */
  queue<Payload = unknown, Result = unknown>(name: string): Queue<Payload, Result> {
    const queue = this.#queues.get(name) ?? new Queue(this.nats, this.subjects, name);
    this.#queues.set(name, queue);
    return queue as Queue<Payload, Result>;
  }

  /** Begins to work on a queue at once; `stop` of the worker, or `close` here, lets it finish. */
  worker<Payload = unknown, Result = unknown>(
    queue: string,
    handler: Handler<Payload, Result>,
    options: WorkerOptions = {},
  ): Worker<Payload, Result> {
    const worker = new Worker(this.nats, this.subjects, queue, handler, options);
    this.#workers.push(worker);
    return worker;
  }

  /** A cache namespace. */
  cache<T = unknown>(
    namespace: string,
    options: Omit<CacheNamespaceOptions, 'subjects' | 'namespace'> = {},
  ): CacheNamespace<T> {
    return new CacheNamespace(this.nats, { ...options, subjects: this.subjects, namespace });
  }

  /** Lets workers finish what they have, then closes the connection. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()));
    await this.nats.connection.drain();
  }
}

/** Connects to the NATS that Trivet lives on. Rejects when there is none at `url`; reconnects for ever after that. */
export async function connect(options: ConnectOptions = {}): Promise<Trivet> {
  const { url, user, password, token, prefix, name } = options;
  const shown = name ?? 'trivet-client';
  const nats = await connectNats({
    url: url ?? process.env['NATS_URL'] ?? 'nats://127.0.0.1:4222',
    user,
    password,
    token,
    name: shown,
  });
  return new Trivet(nats, prefix ?? process.env['TRIVET_PREFIX'] ?? 'trivet', shown);
}
