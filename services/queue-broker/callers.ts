import { type Encoding, encode, json } from '#shared/protocol/encoding.ts';
import type { Refusal } from '#shared/protocol/errors.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import {
  type Msg,
  type Nats,
  createInbox,
  headers,
  serviceInboxPrefix,
  subscribe,
} from '#shared/runtime/nats.ts';
import { isReplySubject, replyBytes, replyRefusal, replyValue } from '#shared/runtime/replies.ts';
import { messageRoom } from './message-room.ts';
import { type ItemWithPayload, encodeLeased } from './item-views.ts';
import { type Caller, withNext } from './queue-works.ts';
import type { AfterCommit } from './work.ts';

/** A lease that nobody was there to take. */
export interface UnclaimedLease {
  readonly queue: string;
  readonly partition: number;
  /** Each item and its token. Numbers alone: hundreds of thousands of them are remembered for a while. */
  readonly orders: readonly number[];
  readonly tokens: readonly number[];
}

/** How long the server may take to say that nobody listens at a reply subject. */
const noResponderMs = 5_000;

/**
 * Answers callers over NATS. Leased items are sent so that a caller that has gone is noticed: the reply carries a
 * reply subject of its own, at which nats-server says "no responders" when nobody listens where it went.
 */
export class Callers {
  readonly #nats: Nats;
  readonly #clock: Clock;
  readonly #unclaimed: (lease: UnclaimedLease) => void;
  readonly #inbox = createInbox(serviceInboxPrefix);
  readonly #sent = new Map<string, UnclaimedLease>();
  #count = 0;

  constructor(options: { nats: Nats; clock: Clock; unclaimed: (lease: UnclaimedLease) => void }) {
    this.#nats = options.nats;
    this.#clock = options.clock;
    this.#unclaimed = options.unclaimed;
    subscribe(options.nats, `${this.#inbox}.*`, {}, (message) => this.#notice(message));
  }

  /** The caller of one request. `done` hears how it was answered, for the figures. */
  of(message: Msg, encoding: Encoding, done: (refusal?: Refusal) => void): Caller {
    return {
      value: (value) => {
        replyValue(message, value, encoding);
        done();
      },
      refuse: (refusal) => {
        replyRefusal(message, refusal, encoding);
        done(refusal);
      },
      lease: (partition, items) => {
        const write = (some: Items) => bodyOf(encodeLeased(partition, some, encoding), encoding);
        return this.#lease(message, partition, this.#fitting(message, items, write), encoding, done);
      },
      written: (answer) => {
        const body = bodyOf(encoding === json ? answer.json() : answer.value(), encoding);
        return () => {
          replyBytes(message, body, encoding);
          done();
        };
      },
      writtenWithNext: (partition, answer, next) => {
        const write = (some: Items) => bodyOf(withNext(partition, answer, some, encoding), encoding);
        const fit = this.#fitting(message, next, write);
        // What was asked for is done, and said, whatever becomes of what was fetched with it.
        const body = this.#isTooLarge(fit.body) ? write([]) : fit.body;
        return this.#lease(message, partition, { ...fit, body }, encoding, done);
      },
    };
  }

  #lease(
    message: Msg,
    partition: number,
    { given, left, body }: Fitting,
    encoding: Encoding,
    done: () => void,
  ): AfterCommit {
    const to = message.reply;
    const lease = leaseOf(partition, given);
    return () => {
      this.#handBack(partition, left);
      // Where nothing is handed out, a body that is too large becomes a refusal.
      if (to !== undefined && lease !== undefined) this.#publish(to, body, lease, encoding);
      else replyBytes(message, body, encoding);
      done();
    };
  }

  /**
   * Numbers that JSON writes in four bytes take nine in MessagePack: what was chosen to fit may not fit as written, a
   * single item even. The connection would not take it, so nothing is handed out then.
   */
  #fitting(message: Msg, items: Items, write: (items: Items) => Uint8Array): Fitting {
    const isHeard = message.reply !== undefined && isReplySubject(message.reply);
    if (!isHeard) return { given: [], left: items, body: new Uint8Array() };
    let count = items.length;
    let body = write(items);
    while (this.#isTooLarge(body) && count > 1) {
      count = Math.ceil(count / 2);
      body = write(items.slice(0, count));
    }
    if (this.#isTooLarge(body)) count = 0;
    return { given: items.slice(0, count), left: items.slice(count), body };
  }

  #isTooLarge(body: Uint8Array): boolean {
    return body.length > messageRoom(this.#nats.connection.info?.max_payload).replyBytesMax;
  }

  #publish(to: string, body: Uint8Array, lease: UnclaimedLease, encoding: Encoding): void {
    const reply = this.#watch(lease);
    const made = encoding === json ? undefined : headers();
    made?.set('Content-Type', encoding);
    this.#nats.connection.publish(to, body, { reply, ...(made === undefined ? {} : { headers: made }) });
  }

  #handBack(partition: number, items: Items): void {
    const lease = leaseOf(partition, items);
    if (lease !== undefined) this.#unclaimed(lease);
  }

  #watch(lease: UnclaimedLease): string {
    this.#count += 1;
    const name = this.#count.toString(36);
    this.#sent.set(name, lease);
    this.#clock.after(noResponderMs, () => this.#sent.delete(name));
    return `${this.#inbox}.${name}`;
  }

  #notice(message: Msg): void {
    const name = message.subject.slice(this.#inbox.length + 1);
    const lease = this.#sent.get(name);
    if (lease === undefined || message.headers?.code !== 503) return;
    this.#sent.delete(name);
    this.#unclaimed(lease);
  }
}

type Items = readonly ItemWithPayload[];

/** What of the items goes into a reply, what does not, and the reply. */
interface Fitting {
  readonly given: Items;
  readonly left: Items;
  readonly body: Uint8Array;
}

const bodyOf = (body: Uint8Array | string | object, encoding: Encoding): Uint8Array =>
  body instanceof Uint8Array ? body : typeof body === 'string' ? Buffer.from(body) : encode(body, encoding);

function leaseOf(partition: number, items: readonly ItemWithPayload[]): UnclaimedLease | undefined {
  const [first] = items;
  if (first === undefined) return undefined;
  return {
    queue: first.item.queue,
    partition,
    orders: items.map(({ item }) => item.order),
    tokens: items.map(({ item }) => item.token),
  };
}
