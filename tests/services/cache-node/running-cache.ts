import { type NatsConnection, connect, headers } from '@nats-io/transport-node';
import { pack, unpack } from 'msgpackr';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

/** What a caller sees of a reply. */
export interface Reply {
  readonly body: unknown;
  /** `Nats-Service-Error-Code`, 0 where there is none. */
  readonly status: number;
  readonly contentType: string;
  /** Whether memory stood in for the backend. */
  readonly degraded: boolean;
}

export interface RunningCache {
  readonly server: RunningNatsServer;
  readonly node: ServiceProcess;
  /** A plain NATS client without our code, as an anonymous local program. */
  readonly client: NatsConnection;
  /** One request in JSON. */
  ask(namespace: string, operation: string, body?: unknown): Promise<Reply>;
  /** One request in MessagePack. */
  askPacked(namespace: string, operation: string, body?: unknown): Promise<Reply>;
  /** Bytes as they are, with these headers. */
  send(subject: string, body: Uint8Array | string, values?: Readonly<Record<string, string>>): Promise<Reply>;
  stop(): Promise<void>;
}

/** A real nats-server, a cache node as a process, and a client. */
export async function startCache(
  env: Readonly<Record<string, string>> = {},
  timeoutMs = 10_000,
): Promise<RunningCache> {
  const server = await startNatsServer();
  const node = await startService('cache-node', {
    ...natsEnvironment(server),
    // One node alone, on a machine that may be busy: a lease that ends would empty it.
    TRIVET_CACHE_LEASE_MS: '10000',
    ...env,
  });
  const client = await connect({ servers: server.url });

  const send: RunningCache['send'] = async (subject, body, values = {}) => {
    const made = headers();
    for (const [name, value] of Object.entries(values)) made.set(name, value);
    const reply = await client.request(subject, body, { headers: made, timeout: timeoutMs });
    const contentType = reply.headers?.get('Content-Type') ?? '';
    return {
      body: contentType === 'application/msgpack' ? unpack(reply.data) : reply.json(),
      status: Number(reply.headers?.get('Nats-Service-Error-Code') ?? '0'),
      contentType,
      degraded: reply.headers?.get('Trivet-Degraded') === 'true',
    };
  };
  return {
    server,
    node,
    client,
    send,
    ask: (namespace, operation, body = {}) =>
      send(`trivet.cache.${namespace}.${operation}`, JSON.stringify(body)),
    askPacked: (namespace, operation, body = {}) =>
      send(`trivet.cache.${namespace}.${operation}`, pack(body), { 'Content-Type': 'application/msgpack' }),
    stop: async () => {
      await client.close();
      await node.stop();
      await server.stop();
    },
  };
}
