import { isName, isPrefix, prefixForm } from '#shared/protocol/names.ts';
import { subjectsAs } from '#shared/protocol/administrative.ts';
import { TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import { privateInbox } from '#shared/protocol/credentials.ts';
import { type Subjects, subjectsFor } from '#shared/protocol/subjects.ts';
import { type Clock, systemClock, within } from '#shared/runtime/clock.ts';
import { environmentOr } from '#shared/runtime/environment.ts';
import { type Nats, connectNats } from '#shared/runtime/nats.ts';
import { loginOf } from '#shared/runtime/nats-address.ts';
import { BrokerWatch } from './broker-watch.ts';
import { CacheNamespace } from './cache.ts';
import type { CacheOptions } from './cache-options.ts';
import { CacheMapRouting } from './cache-map-routing.ts';
import { anyNode } from './cache-routing.ts';
import { refuseUnknown, requireCacheOptions, requireLayers } from './client-options.ts';
import { connectFailure } from './connect-failure.ts';
import { NearCaches } from './near-caches.ts';
import { LeaseKeeper, type LeaseKeeping } from './lease-keeper.ts';
import { Queue, type QueueOptions } from './queue.ts';
import { QueueChannel } from './queue-channel.ts';
import { Telemetry } from './telemetry.ts';
import { isPinned, tokenPrincipal } from './token-principal.ts';
import { type StopOptions, Worker } from './worker.ts';
import type { Handler, WorkerOptions } from './worker-options.ts';

export type { CacheStats } from '#shared/protocol/cache-schemas.ts';
export { TrivetError } from '#shared/protocol/errors.ts';
export type { ChildView, LogLine, WorkerView } from '#shared/protocol/queue-more-schemas.ts';
export type { QueueItem, QueuePriority, QueueStats, QueueStatus } from '#shared/protocol/queue-schemas.ts';
export type { Configure, QueueDescription, Schedule } from '#shared/protocol/queue-settings-schemas.ts';
export type { Added } from './added-item.ts';
export { CacheNamespace } from './cache.ts';
export type {
  CacheEntry,
  CacheOptions,
  Fill,
  FillContext,
  Find,
  GetOrSetOptions,
  IncrementOptions,
  NearCacheOptions,
  NearStats,
  SetOptions,
  Ttl,
} from './cache-options.ts';
export { DoNotRetry, RetryAfter, RetryIn } from './handler-errors.ts';
export { ItemNotDone, type WaitOptions } from './item-wait.ts';
export type { IncomingJob, Job } from './job.ts';
export type { Middleware } from './middleware.ts';
export type { AddOptions, NewItem } from './new-item.ts';
export type { PayloadSchema } from './payload-schema.ts';
export { type Flow, type FlowChild, type ListOptions, Queue, type QueueOptions } from './queue.ts';
export type { EventsOptions, QueueEvent } from './queue-events.ts';
export { Telemetry } from './telemetry.ts';
export { type StopOptions, Worker } from './worker.ts';
export type { Handler, WorkerOptions } from './worker-options.ts';

export interface ConnectOptions {
  /** Default `NATS_URL`, then nats://127.0.0.1:4222. `user:password@` or `token@` may stand before the host. */
  readonly url?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  /** An API key, a JWT, or the local admin's token. */
  readonly token?: string | undefined;
  /** First token of every subject. Default `TRIVET_PREFIX`, then `trivet`. */
  readonly prefix?: string | undefined;
  /** Shown by nats-server for this connection, and the `source` of its telemetry. Default `trivet-client`. */
  readonly name?: string | undefined;
}

/** What a client lives on: NATS and the time, or what stands for them in a test. */
export interface TrivetParts {
  readonly nats: Nats;
  readonly clock: Clock;
  /** Keeps the leases of the workers. */
  readonly keeper: LeaseKeeping;
  readonly prefix: string;
  /** Who the auth callout says that this is: administrative requests go through its own subjects. */
  readonly principalId?: string | undefined;
  /** The `source` of its telemetry. */
  readonly name: string;
}

/** A connection to Trivet: queues, workers, caches and telemetry over one NATS connection. */
export class Trivet {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly telemetry: Telemetry;
  readonly #parts: TrivetParts & { readonly subjects: Subjects; readonly brokers: BrokerWatch };
  readonly #channels = new Map<string, QueueChannel>();
  readonly #cacheMap: CacheMapRouting | undefined;
  readonly #nearCaches: NearCaches;
  /** Those that have not stopped. */
  readonly #workers = new Set<{ stop(options?: StopOptions): Promise<void> }>();
  #closed: Promise<void> | undefined;

  constructor(parts: TrivetParts) {
    this.nats = parts.nats;
    const subjects = subjectsFor(parts.prefix);
    this.subjects = parts.principalId === undefined ? subjects : subjectsAs(subjects, parts.principalId);
    // What is pinned to a principal goes by way of the gateway, which asks any node.
    if (parts.principalId === undefined) this.#cacheMap = new CacheMapRouting(parts.nats, subjects);
    this.telemetry = new Telemetry(parts.nats, this.subjects, { source: parts.name });
    this.#parts = { ...parts, subjects: this.subjects, brokers: new BrokerWatch(parts.nats, this.subjects) };
    this.#nearCaches = new NearCaches(this.#parts);
  }

  /**
   * A queue. Throws `invalid_request` for a bad name. No queue has to be announced first, and all who add to one through this client share its messages.
   * @param options `schema`: any Standard Schema, which every payload must fit; `middleware`: layers around `add`
   */
  queue<Payload = unknown, Result = unknown>(
    name: string,
    options: QueueOptions<Payload> = {},
  ): Queue<Payload, Result> {
    if (!isName(name))
      throw new TrivetError(
        refuseField('queue', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -').error,
      );
    refuseUnknown(options, ['schema', 'middleware']);
    requireLayers(options);
    const channel = this.#channels.get(name) ?? new QueueChannel(this.#parts, name);
    this.#channels.set(name, channel);
    return new Queue(channel, options);
  }

  /** Begins to work on a queue at once; `stop` of the worker, or `close` here, lets it finish. */
  worker<Payload = unknown, Result = unknown>(
    queue: string,
    handler: Handler<Payload, Result>,
    options: WorkerOptions<Payload, Result> = {},
  ): Worker<Payload, Result> {
    // Begun after the end it would try for ever, and keep the process alive.
    if (this.#closed !== undefined)
      throw new TrivetError(refuse('unavailable', 'the client was closed').error);
    const onEnd = () => this.#workers.delete(worker);
    const worker = new Worker({ ...this.#parts, onEnd }, queue, handler, options);
    this.#workers.add(worker);
    return worker;
  }

  /**
   * A cache namespace. None has to be announced first.
   * @param options `schema`: any Standard Schema, which every value must fit; `near`: copies in this process
   */
  cache<T = unknown>(namespace: string, options: CacheOptions<T> = {}): CacheNamespace<T> {
    requireCacheOptions(options);
    const { nats, clock } = this.#parts;
    const routing = this.#cacheMap?.of(namespace) ?? anyNode(this.subjects, namespace);
    // A bad name is refused before anybody listens to it.
    const target = { ...options, subjects: this.subjects, namespace, routing };
    if (options.near === undefined || !isName(namespace)) return new CacheNamespace({ nats, clock }, target);
    const near = this.#nearCaches.open(namespace, options, routing);
    return new CacheNamespace({ nats, clock, ...(near === undefined ? {} : { near }) }, target);
  }

  /**
   * Stops all workers (see `Worker.stop`), lets what was added or recorded before arrive (for 5 s at most), then closes
   * the connection. Closing twice is closing once, within the shortest `timeout` that was given.
   */
  close(options: StopOptions = {}): Promise<void> {
    // A later call may give the handlers less time.
    if (this.#closed !== undefined && options.timeout !== undefined)
      for (const worker of this.#workers) void worker.stop(options);
    this.#closed ??= this.#end(options).catch((error: unknown) => {
      this.#closed = undefined;
      throw error;
    });
    return this.#closed;
  }

  /** `await using trivet = await connect()` closes it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(options: StopOptions): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.stop(options)));
    await this.#settled();
    this.#nearCaches.stop();
    await this.#parts.keeper.end();
    const { connection } = this.nats;
    // Without a NATS there is nothing to drain, and the library would go on looking for it for ever.
    if (connection.isClosed()) return;
    const drained = connection.drain().catch(() => connection.close());
    // Nor does it give up by itself on one that is frozen, or behind a network that swallows everything.
    if (!(await this.#isWithin(drained))) await connection.close();
  }

  /** What was added or recorded in this very turn has not even left yet. */
  async #settled(): Promise<void> {
    const all = [this.telemetry, ...this.#channels.values()].map((one) => one.settled());
    await this.#isWithin(Promise.all(all));
  }

  #isWithin(done: Promise<unknown>): Promise<boolean> {
    const isDone = done.then(() => true);
    return within(this.#parts.clock, settledMsMax, isDone, false);
  }
}

/** As long as telemetry waits for its stream. */
const settledMsMax = 5_000;

const connectOptionNames = ['url', 'user', 'password', 'token', 'prefix', 'name'];

/**
 * Connects to the NATS that Trivet lives on; reconnects for ever after that.
 * Rejects with `unavailable` when there is none at `url`, `unauthorized` when it refuses this client, and
 * `invalid_request` for an option that there is not.
 */
export async function connect(options: ConnectOptions = {}): Promise<Trivet> {
  refuseUnknown(options, connectOptionNames);
  for (const [option, value] of Object.entries(options))
    if (value !== undefined && typeof value !== 'string')
      throw new TrivetError(refuseField(option, 'must be text').error);
  const { name } = options;
  const prefix = options.prefix ?? environmentOr('TRIVET_PREFIX', 'trivet');
  if (!isPrefix(prefix))
    throw new TrivetError(
      refuseField(options.prefix === undefined ? 'TRIVET_PREFIX' : 'prefix', `must be ${prefixForm}`).error,
    );
  const url = options.url ?? environmentOr('NATS_URL', 'nats://127.0.0.1:4222');
  const { user, password, token } = loginOf({ ...options, url });
  const natsOptions = {
    url,
    user,
    password,
    token,
    name: name ?? 'trivet-client',
    ...(token === undefined ? {} : { inboxPrefix: privateInbox(tokenPrincipal(token)) }),
  };
  const nats = await connectNats(natsOptions).catch((error: unknown) => {
    throw connectFailure(natsOptions.url, error);
  });
  const principalId = token === undefined ? undefined : tokenPrincipal(token);
  const pinned = principalId !== undefined && (await isPinned(nats, principalId));
  return new Trivet({
    nats,
    principalId: pinned ? principalId : undefined,
    clock: systemClock,
    // It connects in the same way, on a thread of its own.
    keeper: new LeaseKeeper(natsOptions),
    prefix,
    name: natsOptions.name,
  });
}
