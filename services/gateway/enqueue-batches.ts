import { type Refusal, type Result, accept, refuse } from '#shared/protocol/errors.ts';
import type { Enqueued, QueueItem } from '#shared/protocol/queue-schemas.ts';
import type { Subjects } from '#shared/protocol/subjects.ts';
import { requestReply } from '#shared/client/request.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { KeyedBatches } from './keyed-batches.ts';

interface EnqueueBatchesOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly clock: Clock;
}

/** Items in one message, and their bytes: more would only wait for each other. As in the client. */
const itemsPerMessage = 100;
const bytesPerMessage = 1_048_576;

/** Before a queue's name: its items say whose they are. No name has a dot. */
const ownedMark = 'owned.';

/** With less in it, a message that was refused so may pass: a full queue, and a NATS that takes only small messages. */
const isForLess: ReadonlySet<string> = new Set(['queue_full', 'payload_too_large']);

type One = Pick<Enqueued, 'id' | 'state' | 'duplicate' | 'replaced'>;

/** Enqueues items that come from different callers, packed into one message a queue and turn. */
export class EnqueueBatches {
  readonly #nats: Nats;
  readonly #subjects: Subjects;
  readonly #batches: KeyedBatches<string, One>;

  constructor({ nats, subjects, clock }: EnqueueBatchesOptions) {
    this.#nats = nats;
    this.#subjects = subjects;
    this.#batches = new KeyedBatches({
      clock,
      itemsMax: itemsPerMessage,
      bytesMax: bytesPerMessage,
      send: (queue, items) => this.#send(queue, items),
    });
  }

  /**
   * One item, answered in the shape of `enqueue` once it is durable.
   * @param text     the item as `enqueue-many` takes it
   * @param priority what the item asks for
   * @param isOwned  whether the text says whose the item is
   */
  async enqueue(
    queue: string,
    text: string,
    priority: Enqueued['priority'],
    isOwned = false,
  ): Promise<Result<Enqueued>> {
    const added = await this.#batches.add(isOwned ? ownedMark + queue : queue, text, text.length);
    if (!added.ok) return added;
    const { id, state, duplicate } = added.value;
    if (!duplicate) return accept({ id, state, duplicate, queue, priority });
    return this.#duplicate(queue, added.value, priority);
  }

  /** The item that is there already has the priority that it was enqueued with, not the one of this request. */
  async #duplicate(queue: string, one: One, priority: Enqueued['priority']): Promise<Result<Enqueued>> {
    const known = await requestReply(this.#nats, this.#subjects.queue(queue, 'get'), { id: one.id });
    if (known.ok) return accept({ ...one, queue, priority: (known.value as QueueItem).priority });
    // It is gone already: nobody knows its priority any more.
    return known.error.code === 'not_found' ? accept({ ...one, queue, priority }) : known;
  }

  async #send(place: string, items: readonly string[]): Promise<readonly Result<One>[]> {
    const subject = place.startsWith(ownedMark)
      ? this.#subjects.queueOwned(place.slice(ownedMark.length), 'enqueue-many')
      : this.#subjects.queue(place, 'enqueue-many');
    const reply = await requestReply(this.#nats, subject, Buffer.from(`{"items":[${items.join(',')}]}`));
    if (!reply.ok && isForLess.has(reply.error.code) && items.length > 1) return this.#halves(place, items);
    if (!reply.ok) return items.map(() => reply);
    const answers = (reply.value as { readonly items?: readonly (One & { readonly error?: Refusal })[] })
      .items;
    if (answers === undefined) return items.map(() => refuse('internal', 'the reply has no items'));
    return answers.map((one) => (one.error === undefined ? accept(one) : { ok: false, error: one.error }));
  }

  /**
   * A batch that would pass the queue's size, or what NATS takes, is refused whole, but these callers never asked to be one batch: as many of
   * them as there is room for are let in. Once one alone finds no room, nobody behind it does.
   */
  async #halves(place: string, items: readonly string[]): Promise<readonly Result<One>[]> {
    const middle = Math.ceil(items.length / 2);
    const first = await this.#send(place, items.slice(0, middle));
    const full = first.find((one) => !one.ok && one.error.code === 'queue_full');
    const rest = items.slice(middle);
    return [...first, ...(full === undefined ? await this.#send(place, rest) : rest.map(() => full))];
  }
}
