import type { Encoding } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, TrivetError, accept, refuse } from '#shared/protocol/errors.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Msg, Nats } from '#shared/runtime/nats.ts';
import { type Accepted, type Added, AddedItem } from './added-item.ts';
import { readAlikeItems } from './alike-items.ts';
import { type AskedAgainOptions, askedAgain } from './asked-again.ts';
import type { BrokerWatch } from './broker-watch.ts';
import { withoutPlace } from './item-refusal.ts';
import { MicroBatch } from './micro-batch.ts';
import { withOptionName } from './new-item.ts';
import { readReply, requestMessage, requestReply } from './request.ts';

/**
 * Items in one message. Fewer cost the server and the broker more messages, and the log more records; more would only
 * wait for each other, while the broker could have begun with the first ones.
 */
const itemsPerMessage = 200;

/** Characters of items in one message: larger batches gain nothing and delay what stands behind them. */
const batchLengthMax = 1_048_576;
const enqueueTimeoutMs = 30_000;
/** Twice what a broker that was killed is followed in: those who add need not notice. Milliseconds. */
const brokerGapMsMax = 6_000;
/** Refusals of a whole message, of which a part may be taken. */
const refusedAsOne: ReadonlySet<string> = new Set(['payload_too_large', 'queue_full']);

interface Answers {
  readonly items?: readonly (Accepted | { readonly error: Refusal })[];
}

/** Nothing but ASCII is read of it without a parser. */
const replyText = ({ data }: Msg): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');

/** What a channel shares with the client that it belongs to. */
export interface ChannelParts {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly brokers: BrokerWatch;
}

/** One queue's requests. All who add to it through one client share its batches. */
export class QueueChannel {
  readonly queue: string;
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly brokers: BrokerWatch;
  readonly #batch: MicroBatch<string, Added>;
  /** Whether the items that are gathered now may be sent twice: those that may not never share a message with them. */
  #isRepeatable = false;

  constructor({ nats, subjects, clock, brokers }: ChannelParts, queue: string) {
    this.queue = queue;
    this.nats = nats;
    this.subjects = subjects;
    this.clock = clock;
    this.brokers = brokers;
    this.#batch = new MicroBatch<string, Added>({
      itemsMax: itemsPerMessage,
      bytesMax: batchLengthMax,
      send: (items) => this.#send(items, this.#isRepeatable),
    });
  }

  /**
   * Adds an item that is encoded already, as JSON text; in one message with all that is added in this turn.
   * @param isRepeatable whether adding it twice makes one item
   */
  enqueue(text: string, isRepeatable: boolean): Promise<Added> {
    if (isRepeatable !== this.#isRepeatable) this.#batch.flush();
    this.#isRepeatable = isRepeatable;
    return this.#batch.add(text, text.length);
  }

  /** Sends what was added in this turn now; resolves once all that was added is answered. */
  settled(): Promise<void> {
    return this.#batch.settled();
  }

  /** Adds bytes as they are: a message of its own. */
  async enqueueBytes(
    payload: Uint8Array,
    headers: Readonly<Record<string, string>>,
    isRepeatable: boolean,
  ): Promise<Added> {
    const subject = this.subjects.queue(this.queue, 'enqueue');
    const reply = await askedAgain(this.#asking(isRepeatable), (timeoutMs) =>
      requestReply(this.nats, subject, payload, { timeoutMs, headers }),
    );
    if (!reply.ok) throw new TrivetError(withOptionName(reply.error));
    return new AddedItem(this, reply.value as Accepted);
  }

  /** One request, and its answer or a rejection with a `TrivetError`. The operation's contract is the answer's type. */
  async ask<Reply>(
    operation: string,
    body: unknown,
    options: { timeoutMs?: number; encoding?: Encoding } = {},
  ): Promise<Reply> {
    const reply = await requestReply(this.nats, this.subjects.queue(this.queue, operation), body, options);
    if (!reply.ok) throw new TrivetError(reply.error);
    return reply.value as Reply;
  }

  #asking(isRepeatable: boolean): AskedAgainOptions {
    const { nats, clock, brokers } = this;
    return { nats, clock, brokers, timeoutMs: enqueueTimeoutMs, isRepeatable, gapMsMax: brokerGapMsMax };
  }

  async #send(items: readonly string[], isRepeatable: boolean): Promise<readonly Result<Added>[]> {
    const subject = this.subjects.queue(this.queue, 'enqueue-many');
    const body = Buffer.from(`{"items":[${items.join(',')}]}`);
    const reply = await askedAgain(this.#asking(isRepeatable), (timeoutMs) =>
      requestMessage(this.nats, subject, body, { timeoutMs }),
    );
    // More than this NATS takes at once, or than the queue has room for; those who add never asked to be one message.
    if (!reply.ok && refusedAsOne.has(reply.error.code) && items.length > 1)
      return this.#sendHalves(items, isRepeatable);
    if (!reply.ok) return items.map(() => reply);
    const added = this.#readAdded(reply.value);
    return added.ok ? added.value : items.map(() => added);
  }

  /** The first ones first. Behind one that has found no room in the queue nobody is asked for. */
  async #sendHalves(items: readonly string[], isRepeatable: boolean): Promise<readonly Result<Added>[]> {
    const middle = Math.ceil(items.length / 2);
    const first = await this.#send(items.slice(0, middle), isRepeatable);
    const full = first.find((one) => !one.ok && one.error.code === 'queue_full');
    const rest = items.slice(middle);
    return [...first, ...(full === undefined ? await this.#send(rest, isRepeatable) : rest.map(() => full))];
  }

  #readAdded(reply: Msg): Result<readonly Result<Added>[]> {
    const alike = readAlikeItems(replyText(reply), (id, like) =>
      accept(new AddedItem(this, { ...(like as unknown as Accepted), id })),
    );
    if (alike !== undefined) return accept(alike);
    const read = readReply(reply);
    if (!read.ok) return read;
    const { items } = read.value as Answers;
    if (items === undefined) return refuse('internal', 'the reply has no items');
    return accept(
      items.map((one) =>
        'error' in one ? { ok: false, error: withoutPlace(one.error) } : accept(new AddedItem(this, one)),
      ),
    );
  }
}
