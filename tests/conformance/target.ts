import { type Msg, type NatsConnection, headers } from '@nats-io/transport-node';
import { pack, unpack } from 'msgpackr';
import { subjectsAs } from '#shared/protocol/administrative.ts';
import { subjectsFor } from '#shared/protocol/subjects.ts';
import { expectLike } from './expectations.ts';

/** What a caller sees of a reply. */
export interface Reply {
  readonly body: unknown;
  /** `Nats-Service-Error-Code`, 0 where there is none. */
  readonly status: number;
  readonly contentType: string;
}

export type HeaderValues = Readonly<Record<string, string>>;

/** What the cases are run against: how to ask, and how time passes there. */
export interface Target {
  /** Tokens are required: they say which operations may be asked. */
  readonly needsToken: boolean;
  /** One request in JSON; an undefined body is an empty message. */
  ask(queue: string, operation: string, body?: unknown, values?: HeaderValues): Promise<Reply>;
  askPacked(queue: string, operation: string, body?: unknown, values?: HeaderValues): Promise<Reply>;
  /** Bytes as they are, with these headers. */
  send(queue: string, operation: string, body: Uint8Array | string, values?: HeaderValues): Promise<Reply>;
  /** Live events of a queue from now on. */
  listen(queue: string): Promise<Listening>;
  /** Lets at least so much time pass. */
  pass(ms: number): Promise<void>;
}

export interface Listening {
  readonly heard: readonly { readonly state: string; readonly events: readonly object[] }[];
  end(): void;
}

/** One behaviour of the protocol. It has a queue to itself; others are named by what follows it. */
export interface ConformanceCase {
  /** A sentence about the behaviour. */
  readonly name: string;
  /** Throws where the target does not behave so. */
  run(target: Target, queue: string): Promise<void>;
}

type Connection = Pick<NatsConnection, 'request' | 'subscribe' | 'flush'>;

/** Whoever answers on this connection, be it a nats-server or memory. */
export function targetOver(
  connection: Connection,
  options: {
    readonly prefix: string;
    /** Who the auth callout says that this is: administrative requests go through its own subjects. */
    readonly principalId?: string | undefined;
    readonly pass: (ms: number) => Promise<void>;
  },
): Target {
  const { prefix, principalId, pass } = options;
  const ofAll = subjectsFor(prefix);
  const subjects = principalId === undefined ? ofAll : subjectsAs(ofAll, principalId);
  const send: Target['send'] = async (queue, operation, body, values = {}) => {
    const subject = subjects.queue(queue, operation);
    return replyOf(
      await connection.request(subject, body, { headers: headersOf(values), timeout: requestMs }),
    );
  };
  return {
    needsToken: principalId !== undefined,
    send,
    ask: (queue, operation, body, values) =>
      send(queue, operation, body === undefined ? '' : JSON.stringify(body), values),
    askPacked: (queue, operation, body, values = {}) =>
      send(queue, operation, body === undefined ? '' : pack(body), {
        'Content-Type': 'application/msgpack',
        ...values,
      }),
    listen: async (queue) => {
      const heard: { state: string; events: object[] }[] = [];
      const subscription = connection.subscribe(subjects.queueEvents(queue, '*'), {
        callback: (_, message) => {
          heard.push({ state: message.subject.split('.').at(-1) ?? '', events: message.json() });
        },
      });
      await connection.flush();
      return { heard, end: () => subscription.unsubscribe() };
    },
    pass,
  };
}

/** Longer than every wait of a case. */
const requestMs = 30_000;

function replyOf(reply: Msg): Reply {
  const contentType = reply.headers?.get('Content-Type') ?? '';
  return {
    body: contentType === 'application/msgpack' ? unpack(reply.data) : reply.json(),
    status: Number(reply.headers?.get('Nats-Service-Error-Code') ?? '0'),
    contentType,
  };
}

function headersOf(values: HeaderValues) {
  const made = headers();
  for (const [name, value] of Object.entries(values)) made.set(name, value);
  return made;
}

/** A leased item as `dequeue` hands it out. */
export interface Leased {
  readonly id: string;
  readonly token: number;
  readonly attempt: number;
  readonly payload?: unknown;
  readonly payloadBase64?: string;
  readonly leaseExpiresAt: string;
}

export const leased = (reply: Reply): readonly Leased[] => (reply.body as { items: Leased[] }).items;

/** What the cases read of an item as `get` and `list` show it. */
export interface Shown {
  readonly id: string;
  readonly state: string;
  readonly payload?: unknown;
  readonly enqueuedAt: string;
  readonly startedAt?: string;
  readonly headers?: HeaderValues;
  readonly transitions: readonly { readonly at: string; readonly to: string; readonly why: string }[];
}

export const listed = (reply: Reply): readonly Shown[] => (reply.body as { items: Shown[] }).items;

/** Id and token: what every operation on a leased item carries. */
export const held = (item: Leased | undefined) => ({ id: item?.id ?? '', token: item?.token ?? 0 });

export const refusal = (code: string, status: number, field?: string) => ({
  status,
  body: { error: { code, message: (text: unknown) => typeof text === 'string', ...fieldOf(field) } },
});

const fieldOf = (field: string | undefined) => (field === undefined ? {} : { details: { field } });

/** The next item of a queue. Waits for it for as long as five seconds. */
export async function take(target: Target, queue: string, body: object = {}): Promise<Leased> {
  const [item] = leased(await passing(target, target.ask(queue, 'dequeue', { ...body, wait: '5s' })));
  if (item === undefined) throw new Error(`nothing became ready in ${queue}`);
  return item;
}

/** Lets time pass until something has come. */
export async function passing<T>(target: Target, something: Promise<T>): Promise<T> {
  const state = { ended: false };
  const end = () => {
    state.ended = true;
  };
  something.then(end, end);
  for (let passedMs = 0; !state.ended && passedMs < requestMs; passedMs += stepMs) await target.pass(stepMs);
  return something;
}

/** Asks again, while time passes, until the reply is as expected. */
export async function becomes(target: Target, ask: () => Promise<Reply>, expected: object): Promise<Reply> {
  for (let passedMs = 0; ; passedMs += stepMs) {
    const reply = await ask();
    try {
      expectLike(reply, expected);
      return reply;
    } catch (error) {
      if (passedMs > 10_000) throw error;
    }
    await target.pass(stepMs);
  }
}

const stepMs = 25;

/** Some items, and their ids. */
export async function fill(
  target: Target,
  queue: string,
  items: readonly object[],
): Promise<readonly string[]> {
  const reply = await target.ask(queue, 'enqueue-many', { items });
  return (reply.body as { items: readonly { id: string }[] }).items.map(({ id }) => id);
}
