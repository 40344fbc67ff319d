import { type NatsConnection, connect } from '@nats-io/transport-node';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

export const token = 'token-of-the-gateway-tests';

/** What a test reads of an answer. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  /** The body, parsed where it is JSON. */
  readonly body: Record<string, unknown>;
  readonly text: string;
}

export interface CallOptions {
  /** Sent as JSON; text and bytes are sent as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface RunningGateway {
  readonly nats: RunningNatsServer;
  readonly process: ServiceProcess;
  readonly http: string;
  /** A plain connection with the rights of a service, to stand in for one or to look over a shoulder. */
  readonly connection: NatsConnection;
  /** With the token, unless `headers` say otherwise. */
  call(method: string, path: string, options?: CallOptions): Promise<Answered>;
  stop(): Promise<void>;
}

/** The gateway as a process of its own, on a nats-server of its own. */
export async function startGateway(env: Readonly<Record<string, string>> = {}): Promise<RunningGateway> {
  const nats = await startNatsServer();
  const gateway = await startService('gateway', {
    ...natsEnvironment(nats),
    TRIVET_TOKEN: token,
    TRIVET_HTTP_PORT: '0',
    ...env,
  });
  const connection = await connect({ servers: nats.url, user: nats.user, pass: nats.password });
  const http = gateway.http ?? '';
  return {
    nats,
    process: gateway,
    http,
    connection,
    call: (method, path, options) => call(`${http}${path}`, method, options),
    stop: async () => {
      await connection.close();
      await gateway.stop();
      await nats.stop();
    },
  };
}

async function call(url: string, method: string, options: CallOptions = {}): Promise<Answered> {
  const { body, headers, signal } = options;
  const plain = typeof body === 'string' || body instanceof Uint8Array;
  const response = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: plain ? new Uint8Array(Buffer.from(body)) : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true && text !== '';
  const parsed = isJson ? (JSON.parse(text) as Record<string, unknown>) : {};
  return { status: response.status, headers: response.headers, body: parsed, text };
}
