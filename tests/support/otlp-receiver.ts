import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';

/** What the receiver answers to one request. */
export interface OtlpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface OtlpRequest {
  /** `/v1/metrics`, `/v1/logs` or `/v1/traces`. */
  readonly path: string;
  readonly body: Buffer;
}

export interface OtlpReceiver {
  readonly endpoint: string;
  /** Requests that were answered with a success. */
  readonly accepted: readonly OtlpRequest[];
  /** All requests. */
  readonly seen: readonly OtlpRequest[];
  /** Decides every answer from now on; the default is an empty 200. `undefined` never answers. */
  answerWith(answer: (request: OtlpRequest) => OtlpAnswer | undefined): void;
  stop(): Promise<void>;
}

/** An OTLP/HTTP receiver that does what a test tells it, for faults that a real one does not show on demand. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const accepted: OtlpRequest[] = [];
  const seen: OtlpRequest[] = [];
  let answer: (request: OtlpRequest) => OtlpAnswer | undefined = () => ({ status: 200 });
  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request: OtlpRequest = { path: incoming.url ?? '', body: await readBody(incoming) };
    seen.push(request);
    const given = answer(request);
    if (given === undefined) return;
    if (given.status < 300) accepted.push(request);
    response.writeHead(given.status, { 'content-type': 'application/x-protobuf', ...given.headers });
    response.end(given.body);
  };
  const server = createServer((incoming, response) => void serve(incoming, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    accepted,
    seen,
    answerWith: (given) => {
      answer = given;
    },
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of incoming) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
