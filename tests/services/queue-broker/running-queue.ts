import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PubAck, jetstream } from '@nats-io/jetstream';
import { type Msg, type NatsConnection, connect, headers } from '@nats-io/transport-node';
import { pack, unpack } from 'msgpackr';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

/** What a caller sees of a reply. */
export interface Reply {
  readonly body: unknown;
  /** `Nats-Service-Error-Code`, 0 where there is none. */
  readonly status: number;
  readonly contentType: string;
}

export type HeaderValues = Readonly<Record<string, string>>;

/** A real nats-server, brokers as processes, and plain NATS clients without our code. */
export interface RunningQueue {
  readonly server: RunningNatsServer;
  /** An anonymous local program. */
  readonly client: NatsConnection;
  /** The folder of the broker that `startBroker` starts without a name. */
  readonly data: string;
  /** All that were started, in this order; the earlier ones may have ended. */
  readonly brokers: readonly ServiceProcess[];
  /** Starts a broker and waits until it is ready; it ends with `stop` at the latest. */
  startBroker(name?: string, env?: Readonly<Record<string, string>>): Promise<ServiceProcess>;
  /** One request in JSON; an undefined body is an empty message. */
  ask(queue: string, operation: string, body?: unknown, values?: HeaderValues): Promise<Reply>;
  /** One request in MessagePack. */
  askPacked(queue: string, operation: string, body?: unknown, values?: HeaderValues): Promise<Reply>;
  /** Bytes as they are, with these headers. */
  send(subject: string, body: Uint8Array | string, values?: HeaderValues): Promise<Reply>;
  /** A plain durable publish; resolves with its PubAck. */
  publish(queue: string, body: Uint8Array | string, values?: HeaderValues): Promise<PubAck>;
  stop(): Promise<void>;
}

export interface RunningQueueOptions {
  readonly env?: Readonly<Record<string, string>>;
}

/** Few partitions: each is a stream and a folder, and tests start many brokers. */
export const partitions = 4;

/** Starts the server and connects a client; brokers are started by the test. */
export async function startQueue(options: RunningQueueOptions = {}): Promise<RunningQueue> {
  const server = await startNatsServer();
  const folder = await mkdtemp(join(tmpdir(), 'trivet-queue-'));
  const client = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const js = jetstream(client);
  const brokers: ServiceProcess[] = [];

  const send: RunningQueue['send'] = async (subject, body, values = {}) =>
    replyOf(await client.request(subject, body, { headers: headersOf(values), timeout: 10_000 }));
  return {
    server,
    client,
    data: join(folder, 'queue-broker-1'),
    brokers,
    send,
    startBroker: async (name = 'queue-broker-1', env = {}) => {
      const broker = await startService('queue-broker', {
        ...natsEnvironment(server),
        TRIVET_NAME: name,
        TRIVET_DATA: join(folder, name),
        TRIVET_PARTITIONS: String(partitions),
        ...options.env,
        ...env,
      });
      brokers.push(broker);
      return broker;
    },
    ask: (queue, operation, body, values) =>
      send(`trivet.queue.${queue}.${operation}`, body === undefined ? '' : JSON.stringify(body), values),
    askPacked: (queue, operation, body, values = {}) =>
      send(`trivet.queue.${queue}.${operation}`, body === undefined ? '' : pack(body), {
        'Content-Type': 'application/msgpack',
        ...values,
      }),
    publish: (queue, body, values = {}) =>
      js.publish(`trivet.jobs.${queue}`, body, { headers: headersOf(values) }),
    stop: async () => {
      await client.close();
      // A test may have killed or paused some of them: SIGKILL ends all alike.
      await Promise.all(brokers.map((broker) => broker.kill()));
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function replyOf(reply: Msg): Reply {
  const contentType = reply.headers?.get('Content-Type') ?? '';
  return {
    body: contentType === 'application/msgpack' ? unpack(reply.data) : reply.json(),
    status: Number(reply.headers?.get('Nats-Service-Error-Code') ?? '0'),
    contentType,
  };
}

export function headersOf(values: HeaderValues) {
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
  readonly priority: string;
  readonly contentType?: string;
  readonly headers?: HeaderValues;
}

/** The leased items of a reply to `dequeue`. */
export const leased = (reply: Reply): readonly Leased[] => (reply.body as { items: Leased[] }).items;

/** What the tests read of an item as `get` and `list` show it. */
export interface Shown {
  readonly id: string;
  readonly state: string;
  readonly priority: string;
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly group?: string;
  readonly key?: string;
  readonly runAt?: string;
  readonly enqueuedAt: string;
  readonly finishedAt?: string;
  readonly payload?: unknown;
  readonly payloadBase64?: string;
  readonly attempts: readonly { readonly error?: { readonly message: string; readonly type?: string } }[];
  readonly transitions: readonly { readonly at: string; readonly to: string; readonly why: string }[];
}

/** The items of one page of `list`. */
export const listed = (reply: Reply): readonly Shown[] => (reply.body as { items: Shown[] }).items;

export const shown = (reply: Reply): Shown => reply.body as Shown;
