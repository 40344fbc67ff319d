import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NatsConnection, connect } from '@nats-io/transport-node';
import { tokenPrincipal } from '#shared/client/token-principal.ts';
import { privateInbox } from '#shared/protocol/credentials.ts';
import type { Grant } from '#shared/protocol/identity-schemas.ts';
import { newCalloutKeys } from '#shared/runtime/auth-callout.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import {
  type ServiceName,
  type ServiceProcess,
  natsEnvironment,
  startService,
} from '#tests/support/service-process.ts';

export const adminToken = 'the-local-admins-token-in-tests';

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
  readonly text: string;
}

/** A cluster where tokens are required, its processes as they are in production. */
export interface ClosedCluster {
  readonly nats: RunningNatsServer;
  readonly http: string;
  readonly folder: string;
  start(name: ServiceName, env?: Readonly<Record<string, string>>): Promise<ServiceProcess>;
  /** One HTTP request with this token; null for none. */
  call(method: string, path: string, token: string | null, body?: unknown): Promise<Answered>;
  createToken(name: string, grants: readonly Grant[], more?: object): Promise<{ id: string; token: string }>;
  /** A plain NATS client, told its token and its inbox prefix and nothing else. */
  connect(token: string | undefined, options?: object): Promise<NatsConnection>;
  stop(): Promise<void>;
}

export async function startClosedCluster(
  names: readonly ServiceName[],
  more: Readonly<Record<string, string>> = {},
): Promise<ClosedCluster> {
  const keys = newCalloutKeys();
  const nats = await startNatsServer({ calloutKeys: keys });
  const folder = await mkdtemp(join(tmpdir(), 'trivet-closed-'));
  const processes: ServiceProcess[] = [];
  const connections: NatsConnection[] = [];
  let count = 0;
  let readers = 0;
  const start = async (name: ServiceName, env: Readonly<Record<string, string>> = {}) => {
    count += 1;
    const reads = readers > 0;
    if (name === 'auth-callout') readers += 1;
    const started = await startService(name, {
      ...natsEnvironment(nats),
      TRIVET_NAME: `${name}-${count}`,
      TRIVET_DATA: join(folder, `${name}-${count}`),
      TRIVET_PARTITIONS: '4',
      TRIVET_HTTP_PORT: '0',
      TRIVET_TOKEN: adminToken,
      TRIVET_CALLOUT_ISSUER: keys.issuerSeed,
      TRIVET_CALLOUT_XKEY: keys.xkeySeed,
      // One of several reads it: each would write down the same.
      ...(name === 'auth-callout' && !reads
        ? { TRIVET_NATS_LOG_FILE: join(nats.dir, 'nats-server.log') }
        : {}),
      ...more,
      ...env,
    });
    processes.push(started);
    return started;
  };
  const gateway = await start('gateway');
  const http = gateway.http ?? '';
  await Promise.all(names.map((name) => start(name)));
  const callHttp: ClosedCluster['call'] = async (method, path, token, body) => {
    const response = await fetch(`${http}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
    const parsed = isJson ? (JSON.parse(text) as Record<string, unknown>) : {};
    return { status: response.status, headers: response.headers, body: parsed, text };
  };
  return {
    nats,
    http,
    folder,
    start,
    call: callHttp,
    createToken: async (name, grants, options = {}) => {
      const answer = await callHttp('POST', '/v1/tokens', adminToken, { name, grants, ...options });
      if (answer.status !== 201) throw new Error(answer.text);
      return answer.body as { id: string; token: string };
    },
    connect: async (token, options = {}) => {
      const connection = await connect({
        servers: nats.url,
        reconnect: false,
        ...(token === undefined ? {} : { token, inboxPrefix: privateInbox(tokenPrincipal(token)) }),
        ...options,
      });
      connections.push(connection);
      return connection;
    },
    stop: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
      await Promise.all(processes.map((process) => process.stop()));
      await nats.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
