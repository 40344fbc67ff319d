import type { Clock } from './clock.ts';
import {
  type Msg,
  type Nats,
  type NatsConnection,
  type Subscription,
  createInbox,
  readHeaders,
  writeHeaders,
} from './nats.ts';

/** What a connection of the loopback can do: all that clients of the queue and its service ask of NATS. */
type LoopbackConnection = Pick<
  NatsConnection,
  'request' | 'publish' | 'subscribe' | 'flush' | 'drain' | 'close' | 'isClosed' | 'status'
>;

type Payload = Parameters<NatsConnection['publish']>[1];
type PublishOptions = NonNullable<Parameters<NatsConnection['publish']>[2]>;

interface Listener {
  readonly subject: string;
  readonly group: string | undefined;
  readonly connection: object;
  readonly hear: (message: Msg) => void;
  readonly closed: PromiseWithResolvers<void>;
}

/** A message on its way, as bytes: what its sender does with them afterwards does not reach anybody. */
interface Sent {
  readonly subject: string;
  readonly reply: string | undefined;
  readonly data: Uint8Array;
  readonly headers: Uint8Array | undefined;
}

// Taken once: a test that replaces the timers of its process does not stop what is under way here.
const { setImmediate: nextTurn } = globalThis;

/** nats.conf: `max_payload`. */
const messageBytesMax = 8 * 1_048_576;

/**
 * Subjects without a nats-server: messages go from one part of this process to another as the bytes that they would be
 * on the wire, a turn of the event loop later and in their order. Enough of NATS for requests, publishes, subscriptions
 * with wildcards and queue groups, and "no responders"; no JetStream.
 */
export class Loopback {
  readonly #clock: Clock;
  #listeners: readonly Listener[] = [];
  #onTheWay: Sent[] = [];
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Messages sent so far. */
  get count(): number {
    return this.#count;
  }

  /** One more connection. What it has no part in (JetStream, buckets) throws as soon as it is asked for. */
  connect(): Nats {
    return {
      connection: this.#connection() as NatsConnection,
      get js(): never {
        return missing('JetStream');
      },
      manager: () => missing('JetStream'),
      get kvm(): never {
        return missing('key-value buckets');
      },
      get objm(): never {
        return missing('object stores');
      },
    };
  }

  /** Resolves once nothing is under way any more that needs neither time nor the world outside. */
  async settled(): Promise<void> {
    // What is sent in one turn is heard in the next, and what a batch gathers is sent at the end of one.
    for (let quiet = 0, seen = this.#count; quiet < quietTurns; quiet += 1) {
      await new Promise<void>((resolve) => {
        nextTurn(resolve);
      });
      if (this.#count !== seen) quiet = 0;
      seen = this.#count;
    }
  }

  #connection(): LoopbackConnection {
    let closed = false;
    const inbox = createInbox();
    const waiting = new Map<string, PromiseWithResolvers<Msg>>();
    let newest = 0;
    const connection: LoopbackConnection = {
      publish: (subject, payload, options = {}) => {
        if (closed) throw new Error('the connection is closed');
        this.#send(subject, payload, options);
      },
      subscribe: (subject, { queue, callback } = {}) => {
        const listener: Listener = {
          subject,
          group: queue,
          connection,
          hear: (message) => void callback?.(null, message),
          closed: Promise.withResolvers<void>(),
        };
        this.#listeners = [...this.#listeners, listener];
        const end = () => {
          this.#listeners = this.#listeners.filter((one) => one !== listener);
          listener.closed.resolve();
        };
        const closed = listener.closed.promise;
        return { unsubscribe: end, drain: () => Promise.resolve(end()), closed } as Subscription;
      },
      request: (subject, payload, options) => {
        const answer = Promise.withResolvers<Msg>();
        const name = `${inbox}.${(newest += 1)}`;
        const { timeout = 1_000, headers } = options ?? {};
        const cancel = this.#clock.after(timeout, () => answer.reject(named('TimeoutError', 'timeout')));
        waiting.set(name, answer);
        try {
          if (closed) throw new Error('the connection is closed');
          this.#send(subject, payload, { reply: name, ...(headers === undefined ? {} : { headers }) });
        } catch (error) {
          answer.reject(error);
        }
        return answer.promise.finally(() => {
          cancel();
          waiting.delete(name);
        });
      },
      flush: () => this.settled(),
      drain: () => connection.close(),
      close: () => {
        closed = true;
        for (const one of this.#listeners) if (one.connection === connection) one.closed.resolve();
        this.#listeners = this.#listeners.filter((one) => one.connection !== connection);
        for (const { reject } of waiting.values()) reject(new Error('the connection was closed'));
        return Promise.resolve();
      },
      isClosed: () => closed,
      // Nothing ever happens to this connection.
      status: async function* () {},
    };
    // One subscription for all replies, as the library has it: a reply that comes too late is heard, and let go.
    connection.subscribe(`${inbox}.*`, {
      callback: (_, message) => {
        const answer = waiting.get(message.subject);
        if (message.headers?.code === 503 && message.data.length === 0)
          answer?.reject(named('NoRespondersError', `no responders: '${message.subject}'`));
        else answer?.resolve(message);
      },
    });
    return connection;
  }

  #send(subject: string, payload: Payload, { reply, headers }: PublishOptions): void {
    if (/\s/.test(subject) || subject.split('.').includes(''))
      throw new Error(`illegal subject: '${subject}'`);
    const data = payload === undefined ? new Uint8Array() : bytesOf(payload);
    const headerBytes = headers === undefined ? undefined : writeHeaders(headers);
    if (data.length + (headerBytes?.length ?? 0) > messageBytesMax)
      throw new Error("'payload' max_payload size exceeded");
    this.#count += 1;
    if (this.#onTheWay.push({ subject, reply, data, headers: headerBytes }) === 1)
      nextTurn(() => this.#deliver());
  }

  #deliver(): void {
    const messages = this.#onTheWay;
    this.#onTheWay = [];
    for (const message of messages) {
      const listeners = this.#listenersAt(message.subject);
      for (const listener of listeners) listener.hear(this.#read(message));
      if (listeners.length === 0 && message.reply !== undefined) this.#tellNobody(message.reply);
    }
  }

  /** Everybody who has subscribed, and one of each group. */
  #listenersAt(subject: string): readonly Listener[] {
    const groups = new Set<string>();
    return this.#listeners.filter((one) => {
      if (!matches(one.subject, subject)) return false;
      if (one.group === undefined) return true;
      const isFirst = !groups.has(one.group);
      groups.add(one.group);
      return isFirst;
    });
  }

  #tellNobody(reply: string): void {
    const listeners = this.#listenersAt(reply);
    const headers = Buffer.from('NATS/1.0 503 No Responders\r\n\r\n');
    const status = { subject: reply, reply: undefined, data: new Uint8Array(), headers };
    for (const listener of listeners) listener.hear(this.#read(status));
  }

  #read({ subject, reply, data, headers }: Sent): Msg {
    const text = () => Buffer.from(data).toString();
    return {
      subject,
      sid: 0,
      data,
      ...(reply === undefined ? {} : { reply }),
      ...(headers === undefined ? {} : { headers: readHeaders(headers) }),
      respond: (payload, options = {}) => {
        if (reply === undefined) return false;
        this.#send(reply, payload, options);
        return true;
      },
      string: text,
      json: (reviver) => JSON.parse(text(), reviver),
    };
  }
}

/** An outcome takes two turns to be sent, and one more to be heard. */
const quietTurns = 4;

function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const given = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return given.length > index;
    if (given[index] === undefined || (token !== '*' && token !== given[index])) return false;
  }
  return wanted.length === given.length;
}

const bytesOf = (payload: Uint8Array | string): Uint8Array =>
  typeof payload === 'string' ? Buffer.from(payload) : new Uint8Array(payload);

function named(name: string, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}

function missing(what: string): never {
  throw new Error(`${what} are not part of this connection: it is in memory, and carries the queue alone`);
}
