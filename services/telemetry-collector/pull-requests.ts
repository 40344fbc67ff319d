import type { Clock } from '#shared/runtime/clock.ts';
import {
  type Msg,
  type Nats,
  type Subscription,
  createInbox,
  serviceInboxPrefix,
  subscribe,
} from '#shared/runtime/nats.ts';
import type { Delivery, Room } from './inbox.ts';

export interface PullOptions {
  readonly nats: Nats;
  readonly stream: string;
  readonly consumer: string;
  readonly clock: Clock;
  readonly onDelivery: (delivery: Delivery) => void;
}

/** How a request ended: with everything it could bring, or with what the server said. */
export type PullEnd =
  'done' | 'silence' | 'disconnected' | { readonly status: number; readonly text: string };

const expiresMs = 5_000;
// The server answers a request that brought nothing when it expires. Later than this, it or the connection is gone.
const silenceMs = expiresMs + 2_000;
const nanosPerMs = 1_000_000;
const laterMs = 1_000;

/**
 * Pull requests to one consumer, one at a time, bounded in messages *and* bytes. Written here because the library
 * bounds a fetch by one of them, and a message may be four orders of magnitude larger than its neighbour.
 */
export class PullRequests {
  readonly #options: PullOptions;
  readonly #inbox = createInbox(serviceInboxPrefix);
  readonly #subscription: Subscription;
  #remaining = 0;
  #end: ((end: PullEnd) => void) | undefined;
  #cancelSilence: () => void = () => undefined;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#subscription = subscribe(options.nats, this.#inbox, {}, (message) => this.#receive(message));
  }

  /** Asks for messages; each is handed to `onDelivery` as it comes. Resolves when the request has ended. */
  request(room: Room): Promise<PullEnd> {
    const { nats, stream, consumer } = this.#options;
    this.#remaining = room.messages;
    return new Promise((resolve) => {
      this.#end = resolve;
      this.#listen();
      const body = {
        batch: room.messages,
        max_bytes: room.bytes,
        expires: expiresMs * nanosPerMs,
      };
      nats.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(body), {
        reply: this.#inbox,
      });
    });
  }

  /** Ends the request that runs: the connection that it was made on is lost. */
  interrupt(): void {
    this.#finish('disconnected');
  }

  /** Ends the request that runs. What the server still sends for it comes again later, to whoever asks then. */
  stop(): void {
    this.#subscription.unsubscribe();
    this.#finish('done');
  }

  #receive(message: Msg): void {
    const code = message.headers?.code ?? 0;
    if (message.subject === this.#inbox) {
      this.#finish(code === 404 || code === 408 ? 'done' : this.#statusOf(message));
      return;
    }
    this.#options.onDelivery(deliveryOf(this.#options.nats, message));
    this.#remaining -= 1;
    if (this.#remaining <= 0) this.#finish('done');
    else this.#listen();
  }

  #statusOf(message: Msg): PullEnd {
    const text = message.headers?.description ?? '';
    // The next message is larger than what was left of the room; the next request has room for it.
    if (/exceeds max_?bytes/i.test(text)) return 'done';
    return { status: message.headers?.code ?? 0, text };
  }

  #listen(): void {
    this.#cancelSilence();
    this.#cancelSilence = this.#options.clock.after(silenceMs, () => this.#finish('silence'));
  }

  #finish(end: PullEnd): void {
    this.#cancelSilence();
    this.#end?.(end);
    this.#end = undefined;
  }
}

/** A message's place in the stream is told in its reply subject: `$JS.ACK.[domain.account.]stream.consumer.…`. */
export function deliveryOf(nats: Nats, message: Msg, reply = message.reply ?? ''): Delivery {
  const tokens = reply.split('.');
  const offset = tokens.length > 9 ? 2 : 0;
  return {
    sequence: Number(tokens[5 + offset]),
    subject: message.subject,
    headers: message.headers,
    body: message.data,
    deliveries: Number(tokens[4 + offset]),
    reply,
    receivedMs: Math.floor(Number(tokens[7 + offset]) / nanosPerMs),
    // These two hold the subject and not the message: they live until the acknowledgement, its bytes need not.
    acknowledge: () => nats.connection.publish(reply, '+ACK'),
    later: () => nats.connection.publish(reply, `-NAK {"delay": ${laterMs * nanosPerMs}}`),
    working: () => nats.connection.publish(reply, '+WPI'),
  };
}
