import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { Objm, setSha256Backend } from '@nats-io/obj';
import {
  type ConnectionOptions,
  type Msg,
  type MsgHdrs,
  MsgHdrsImpl,
  type NatsConnection,
  type Status,
  type Subscription,
  AuthorizationError,
  PermissionViolationError,
  connect,
  headers,
} from '@nats-io/transport-node';
import { headerName } from '#shared/protocol/headers.ts';
import { type Clock, within } from './clock.ts';
import type { Log } from './log.ts';
import { loginOf, withoutCredentials } from './nats-address.ts';
import { cheapenRequests } from './requests.ts';

// The only door to NATS: how a process connects, and nothing of what it says.

export {
  type ConsumerMessages,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type PubAck,
  type StoredMsg,
  type StreamConfig,
  type StreamInfo,
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
export { type KV, Kvm } from '@nats-io/kv';
export type { ObjectStore } from '@nats-io/obj';
export {
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  type Subscription,
  AuthorizationError,
  InvalidArgumentError,
  PermissionViolationError,
  createInbox,
  headers,
} from '@nats-io/transport-node';

/** Stands for a header whose name NATS does not allow; its value is the line as it came. */
export const unreadableHeader = 'Trivet-Unreadable-Header';

// The library's own default is a SHA-256 in JavaScript, for browsers; it would take tens of times as long.
setSha256Backend('native');

// nats-server passes on what a client writes as a header, and the library throws when a name holds a space or a
// control character: within the reading of the socket, which then stops for good. So such a line is set apart.
const decodeStrictly = MsgHdrsImpl.decode.bind(MsgHdrsImpl);
MsgHdrsImpl.decode = (bytes) => {
  try {
    return withOurNames(decodeStrictly(bytes));
  } catch {
    return withOurNames(decodeLineByLine(bytes));
  }
};

/** Gives each header that is ours the name that it is read by, in whatever case it came. */
function withOurNames(read: MsgHdrsImpl): MsgHdrsImpl {
  for (const [name, values] of read) {
    const ours = headerName(name);
    if (ours === name) continue;
    read.delete(name);
    for (const value of values) read.append(ours, value);
  }
  return read;
}

function decodeLineByLine(bytes: Uint8Array): MsgHdrsImpl {
  const [version = '', ...lines] = Buffer.from(bytes).toString().split('\r\n');
  const decodeLine = (line: string) => decodeStrictly(Buffer.from(`${version}\r\n${line}\r\n\r\n`));
  const made = decodeLine('');
  for (const line of lines) {
    try {
      for (const [name, values] of decodeLine(line)) for (const value of values) made.append(name, value);
    } catch {
      made.append(unreadableHeader, line.replaceAll(/[^\x20-\x7e]/g, '?'));
    }
  }
  return made;
}

export interface NatsOptions {
  /** One address or several, separated by commas; who comes may stand there, where it is not said beside it. */
  readonly url: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly token?: string | undefined;
  /** Shown by nats-server for this connection. */
  readonly name: string;
  /** The services' own inboxes; no other client may listen there (nats.conf). */
  readonly inboxPrefix?: string | undefined;
  readonly log?: Log | undefined;
}

/** The inbox prefix of the services. Closed to everybody else in nats.conf. */
export const serviceInboxPrefix = '_INBOX_TRIVET';

export interface Nats {
  readonly connection: NatsConnection;
  readonly js: JetStreamClient;
  /** A manager of streams and consumers; asks the server, so JetStream must be on. */
  manager(): Promise<JetStreamManager>;
  readonly kvm: Kvm;
  readonly objm: Objm;
  /** What its inboxes begin with, where that is not the library's default: it may listen nowhere else. */
  readonly inboxPrefix?: string | undefined;
  readonly log?: Log | undefined;
}

/**
 * How long a server may take from the first byte to the end of the login, in milliseconds. Its monitoring port hangs up
 * on a client that says nothing after 5 s; a little more, so that this is seen, which says more than a time-out.
 */
export const greetingMsMax = 6_000;

/**
 * Connects, and reconnects for ever: a service without NATS waits, it does not end.
 * Pings every 5 s and gives a connection up after two unanswered ones, so that a dead peer is noticed in 15 s and
 * not in the library's default of 6 minutes.
 */
export async function connectNats(options: NatsOptions): Promise<Nats> {
  const connection = await connect(connectionOptions(options));
  cheapenRequests(connection, options.inboxPrefix);
  const nats = {
    connection,
    js: jetstream(connection),
    manager: () => jetstreamManager(connection),
    kvm: new Kvm(connection),
    objm: new Objm(connection),
    inboxPrefix: options.inboxPrefix,
  };
  return options.log === undefined ? nats : withLog(nats, options.log);
}

/** The same connection, which from now on logs what happens to it. */
export function withLog(nats: Nats, log: Log): Nats {
  void logStatus(nats.connection, log);
  return { ...nats, log };
}

function connectionOptions(options: NatsOptions): ConnectionOptions {
  const { user, password, token } = loginOf(options);
  return {
    servers: withoutCredentials(options.url).split(','),
    name: options.name,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(token === undefined ? {} : { token }),
    ...(options.inboxPrefix === undefined ? {} : { inboxPrefix: options.inboxPrefix }),
    maxReconnectAttempts: -1,
    // The library closes for good when it was refused twice; but a NATS that is started again refuses everybody until
    // its auth callout is there again, too.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    timeout: greetingMsMax,
    pingInterval: 5_000,
    maxPingOut: 2,
    // A stack for every request costs more than the request.
    noAsyncTraces: true,
  };
}

async function logStatus(connection: NatsConnection, log: Log): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === 'disconnect' || status.type === 'reconnect')
      log.warn({ status: status.type }, `NATS ${status.type}`);
    if (status.type === 'error') log.error({ err: status.error }, 'NATS error');
  }
}

/** Calls `action` each time that a lost connection is there again; the returned function ends that. */
export const onReconnect = (nats: Nats, action: () => void): (() => void) =>
  onStatus(nats, 'reconnect', action);

/** Calls `action` each time that the connection is lost; the returned function ends that. */
export const onDisconnect = (nats: Nats, action: () => void): (() => void) =>
  onStatus(nats, 'disconnect', action);

/**
 * Calls `action` each time that nats-server does not let this client publish or listen somewhere; the returned function
 * ends that. A publish has no other way to say so.
 */
export const onForbidden = (nats: Nats, action: (error: Error) => void): (() => void) =>
  onStatus(nats, 'error', (status) => {
    if (status.type === 'error' && status.error instanceof PermissionViolationError) action(status.error);
  });

/** Calls `action` each time that nats-server refuses who this client is, mostly when it comes back. */
export const onRefused = (nats: Nats, action: () => void): (() => void) =>
  onStatus(nats, 'error', (status) => {
    if (status.type === 'error' && status.error instanceof AuthorizationError) action();
  });

function onStatus(nats: Nats, wanted: Status['type'], action: (status: Status) => void): () => void {
  let isWatching = true;
  const watch = async (): Promise<void> => {
    for await (const status of nats.connection.status()) {
      if (!isWatching) return;
      if (status.type === wanted) action(status);
    }
  };
  void watch();
  return () => {
    isWatching = false;
  };
}

/**
 * Called for each message; the library's own iteration would cost a promise for every one.
 * @param options `onForbidden`: called where this client may not listen there, which is thrown otherwise
 */
export function subscribe(
  nats: Nats,
  subject: string,
  options: { readonly queue?: string; readonly onForbidden?: (error: Error) => void },
  onMessage: (message: Msg) => void,
): Subscription {
  return nats.connection.subscribe(subject, {
    ...(options.queue === undefined ? {} : { queue: options.queue }),
    callback: (error, message) => {
      // An error here is a refused subscription: without it the service serves nothing, so it must be seen.
      if (error !== null && options.onForbidden === undefined) throw error;
      if (error !== null) return options.onForbidden?.(error);
      try {
        onMessage(message);
      } catch (fault) {
        // Thrown from here it would end the library's reading of the socket, and the process would hear nothing more.
        nats.log?.error({ err: fault, subject: message.subject }, 'a message could not be handled');
      }
    },
  });
}

/** The bytes that headers are in a message. */
export const writeHeaders = (written: MsgHdrs): Uint8Array => (written as MsgHdrsImpl).encode();

/** Headers from the bytes of a message; lines that NATS does not allow are set apart as they are on a connection. */
export const readHeaders = (bytes: Uint8Array): MsgHdrs => MsgHdrsImpl.decode(bytes);

/** Headers from a plain object; undefined when it is empty, since a message without headers is cheaper. */
export function headersOf(values: Readonly<Record<string, string | undefined>>): MsgHdrs | undefined {
  let made: MsgHdrs | undefined;
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    made ??= headers();
    made.set(name, value);
  }
  return made;
}

/** How long a server may take to confirm the end of a subscription. */
const endedMsMax = 1_000;

/**
 * Ends subscriptions. What the server has sent already is still handled: thrown away, its senders would wait for an
 * answer until their patience ends. Resolves once it was, or when the server does not say so in time; never rejects.
 */
export async function endSubscriptions(subscriptions: readonly Subscription[], clock: Clock): Promise<void> {
  const ended = subscriptions.map((one) => one.drain().catch(() => undefined));
  await within(clock, endedMsMax, Promise.all(ended), undefined);
  for (const one of subscriptions) if (!one.isClosed()) one.unsubscribe();
}
