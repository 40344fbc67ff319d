import { timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { promisify } from 'node:util';
import { gunzip as gunzipCallback } from 'node:zlib';
import { decodeExactly, json, mediaTypeOf } from '#shared/protocol/encoding.ts';
import { isTooDeep } from '#shared/protocol/nesting.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import { grpcStatus } from './core/delivery.ts';
import type { Signal } from './core/otlp-chunks.ts';
import { OtlpJsonFault, bytesOfRequest } from './core/otlp-json.ts';
import { partialBytes, partialJson, statusBytes, statusJson } from './otlp-answers.ts';
import type { OtlpIntake } from './otlp-intake.ts';

const gunzip = promisify(gunzipCallback);

const protobuf = 'application/x-protobuf';

const signalOfPath: Readonly<Record<string, Signal>> = {
  '/v1/metrics': 'metrics',
  '/v1/logs': 'logs',
  '/v1/traces': 'traces',
};

// A sender that is slower than this holds a connection for nothing.
const requestMsMax = 30_000;
const connectionsMax = 1_000;
const retryAfterSeconds = 1;
/** How long senders have to finish when a receiver ends: the process has ten seconds for all that it has to end. */
export const stopMsMax = 3_000;

/** What is wrong with a request, before anybody has looked into it. */
class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface ReceiverOptions {
  readonly host: string;
  /** 0 is any free one. */
  readonly port: number;
  /** Undefined where whoever reaches the port may send. */
  readonly token: string | undefined;
  readonly intake: OtlpIntake;
}

export interface Receiver {
  readonly port: number;
  stop(): Promise<void>;
}

/** Receives OTLP over HTTP. Rejects where the port is taken. */
export async function receiveHttp({ host, port, token, intake }: ReceiverOptions): Promise<Receiver> {
  const server = createServer({ requestTimeout: requestMsMax }, (request, response) => {
    void serve(request, response, { token, intake });
  });
  server.maxConnections = connectionsMax;
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    stop: () => stop(server),
  };
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // Whoever waits for an answer gets it: it is on its way to the stream.
  server.closeIdleConnections();
  // One that says nothing, or half of a request, is none of these; what it has not been answered it sends again.
  const cancel = systemClock.after(stopMsMax, () => server.closeAllConnections());
  await closed;
  cancel();
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { token, intake }: Pick<ReceiverOptions, 'token' | 'intake'>,
): Promise<void> {
  const isJson = mediaTypeOf(request.headers['content-type']) === json;
  const fail = (
    status: number,
    code: number,
    message: string,
    headers: Record<string, string> = {},
  ): void => {
    response.writeHead(status, { 'content-type': isJson ? json : protobuf, ...headers });
    response.end(isJson ? statusJson(code, message) : statusBytes(code, message));
  };
  try {
    const signal = signalOf(request, token);
    const body = await bodyOf(request, intake.bytesMax);
    const outcome = await intake.take(signal, isJson ? protobufOf(signal, body) : body);
    if (outcome.kind === 'refused')
      fail(outcome.isTooLarge ? 413 : 400, grpcStatus.invalidArgument, outcome.reason);
    else if (outcome.kind === 'busy')
      fail(503, grpcStatus.unavailable, outcome.reason, { 'retry-after': String(retryAfterSeconds) });
    else {
      response.writeHead(200, { 'content-type': isJson ? json : protobuf });
      response.end(isJson ? partialJson(signal, outcome) : partialBytes(outcome));
    }
  } catch (error) {
    if (response.headersSent || response.destroyed) return;
    const message = error instanceof Error ? error.message : String(error);
    // What is not read of the request would be taken for the next one.
    const headers = {
      connection: 'close',
      ...(error instanceof Refused && error.status === 405 ? { allow: 'POST' } : {}),
    };
    if (error instanceof Refused) fail(error.status, codeOf(error.status), message, headers);
    else if (error instanceof OtlpJsonFault) fail(400, grpcStatus.invalidArgument, message);
    else fail(400, grpcStatus.invalidArgument, `the request cannot be read: ${message}`, headers);
  }
}

const codeOf = (status: number): number => {
  if (status === 401) return grpcStatus.unauthenticated;
  return status === 404 ? grpcStatus.notFound : grpcStatus.invalidArgument;
};

/** The signal of a request that may be read on. */
function signalOf(request: IncomingMessage, token: string | undefined): Signal {
  const signal = signalOfPath[request.url?.split('?', 1)[0] ?? ''];
  if (signal === undefined) throw new Refused(404, 'only /v1/metrics, /v1/logs and /v1/traces are here');
  if (request.method !== 'POST') throw new Refused(405, 'only POST is understood');
  if (token !== undefined && !isAuthorized(request.headers.authorization, token))
    throw new Refused(401, 'a bearer token is needed');
  const type = mediaTypeOf(request.headers['content-type']);
  if (type !== protobuf && type !== json)
    throw new Refused(415, `Content-Type must be ${protobuf} or ${json}`);
  return signal;
}

/** Compares in a time that tells nothing about how much of it was right. */
export function isAuthorized(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '');
  const wanted = Buffer.from(`Bearer ${token}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

async function bodyOf(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > bytesMax) throw new Refused(413, `a request may have ${bytesMax} bytes`);
    parts.push(part);
  }
  const body = parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts);
  const encoding = request.headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return body;
  if (encoding !== 'gzip') throw new Refused(415, 'Content-Encoding must be gzip or identity');
  try {
    // Bounded: a few bytes can unfold into gigabytes.
    return await gunzip(body, { maxOutputLength: bytesMax });
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw isTooLarge
      ? new Refused(413, `a request may have ${bytesMax} bytes`)
      : new Refused(400, 'the body is not gzip');
  }
}

function protobufOf(signal: Signal, body: Buffer): Uint8Array {
  const decoded = decodeExactly(body, json);
  if (!decoded.ok) throw new Refused(400, decoded.error.message);
  if (isTooDeep(decoded.value)) throw new Refused(400, 'body is nested too deeply');
  return bytesOfRequest(signal, decoded.value ?? {});
}
