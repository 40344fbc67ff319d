import { encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, TrivetError, accept } from '#shared/protocol/errors.ts';
import { batchItemsMax } from '#shared/protocol/limits.ts';
import type {
  EnqueueOptions,
  QueueItem,
  QueuePriority,
  QueueStats,
  QueueStatus,
} from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { MicroBatch } from './micro-batch.ts';
import { requestReply } from './request.ts';

export type AddOptions = EnqueueOptions;

/** What became of an added item. */
export interface Added {
  readonly id: string;
  readonly state: QueueStatus;
  /** The key stood for an item already: nothing was added, `id` is that item's. */
  readonly duplicate: boolean;
}

export interface ListOptions {
  readonly state?: QueueStatus;
  readonly priority?: QueuePriority;
  readonly group?: string;
  readonly limit?: number;
  readonly cursor?: string;
}

interface Outgoing {
  readonly item: object;
}

/** Bytes of payload in one message: large batches beyond this gain nothing and delay what stands behind them. */
const batchBytesMax = 1_048_576;

/**
 * The producer's side of one queue. What is added in one turn of the event loop goes out as one message.
 * @typeParam Payload what the items carry: any JSON value
 */
export class Queue<Payload = unknown, Result_ = unknown> {
  readonly name: string;
  readonly #nats: Nats;
  readonly #subjects: Subjects;
  readonly #batch: MicroBatch<Outgoing, Added>;

  constructor(nats: Nats, subjects: Subjects, name: string) {
    this.name = name;
    this.#nats = nats;
    this.#subjects = subjects;
    this.#batch = new MicroBatch<Outgoing, Added>({
      itemsMax: batchItemsMax,
      bytesMax: batchBytesMax,
      send: (items) => this.#send(items),
    });
  }

  /**
   * Adds an item; resolves once it is durable.
   * Rejects with a `TrivetError`: `invalid_request`, `payload_too_large`, `queue_full`, `unavailable`, `timeout`. After
   * a `timeout` the item may or may not be there: add it again with the same `key` to be sure to have it once.
   */
  add(payload: Payload, options: AddOptions = {}): Promise<Added> {
    const size = typeof payload === 'string' ? payload.length : 256;
    return this.#batch.add({ item: { payload, ...options } }, size);
  }

  /** Adds many, in order; one that is refused does not hold up its neighbours. Never rejects for a single item. */
  addMany(
    items: readonly { payload: Payload; options?: AddOptions }[],
  ): Promise<readonly PromiseSettledResult<Added>[]> {
    return Promise.allSettled(items.map(({ payload, options }) => this.add(payload, options)));
  }

  /** The whole item, or a `TrivetError` `not_found`. */
  async get(id: string): Promise<QueueItem & { readonly payload?: Payload; readonly result?: Result_ }> {
    return (await this.#ask('get', { id })) as QueueItem & { payload?: Payload; result?: Result_ };
  }

  /** One page of items, oldest first. `cursor` is where the next page begins; it is absent on the last one. */
  async list(
    options: ListOptions = {},
  ): Promise<{ readonly items: readonly QueueItem[]; readonly cursor?: string }> {
    return (await this.#ask('list', options)) as { items: QueueItem[]; cursor?: string };
  }

  async stats(): Promise<QueueStats> {
    return (await this.#ask('stats', {})) as QueueStats;
  }

  /** Cancels an item in any state that is not final; a running handler sees it as an aborted signal. */
  async cancel(id: string): Promise<void> {
    await this.#ask('cancel', { id });
  }

  /** Gives a failed item all its attempts again. */
  async replay(id: string): Promise<void> {
    await this.#ask('replay', { id });
  }

  async pause(): Promise<void> {
    await this.#ask('pause', {});
  }

  async resume(): Promise<void> {
    await this.#ask('resume', {});
  }

  async #ask(operation: string, body: object): Promise<unknown> {
    const reply = await requestReply(this.#nats, this.#subjects.queue(this.name, operation), body);
    if (!reply.ok) throw new TrivetError(reply.error);
    return reply.value;
  }

  async #send(items: readonly Outgoing[]): Promise<readonly Result<Added>[]> {
    const body = encode({ items: items.map((one) => one.item) }, json);
    const reply = await requestReply(this.#nats, this.#subjects.queue(this.name, 'enqueue-many'), body, {
      timeoutMs: 30_000,
    });
    if (!reply.ok) return items.map(() => reply);
    const answers = (reply.value as { items: (Added | { error: Refusal })[] }).items;
    return answers.map((one) => ('error' in one ? { ok: false, error: one.error } : accept(one)));
  }
}
