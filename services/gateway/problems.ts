import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Refusal, errorTable } from '#shared/protocol/errors.ts';
import type { Log } from '#shared/runtime/log.ts';
import { problemOf } from './core/problem.ts';
import { refusedIn } from './refused.ts';

const problemContentType = 'application/problem+json; charset=utf-8';

/** Where nobody knows better when to come again. */
const retryAfterSeconds = '1';

/** Sends a refusal as problem+json. */
export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  refusal: Refusal,
  httpStatus?: number,
): FastifyReply {
  const instance = request.url.split('?', 1)[0] ?? '/';
  const problem = problemOf(refusal, { instance, requestId: request.id, status: httpStatus });
  reply.code(problem.status).type(problemContentType);
  if (refusal.code === 'unauthorized') reply.header('WWW-Authenticate', 'Bearer');
  if (errorTable[refusal.code].retryable && problem.status !== 500 && !reply.hasHeader('Retry-After'))
    reply.header('Retry-After', retryAfterSeconds);
  return reply.send(JSON.stringify(problem));
}

/** A body that is not JSON by its own word. */
export const wrongContentType: Refusal = {
  code: 'invalid_request',
  message: 'Content-Type must be application/json',
  details: { field: 'Content-Type' },
};

/** Answers whatever was thrown on a request's way: a refusal, a fault that Fastify found, or a fault of ours. */
export const errorHandler =
  (log: Log) =>
  (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const refused = refusedIn(error);
    if (refused !== undefined) return sendProblem(request, reply, refused.refusal, refused.httpStatus);
    const status = statusOf(error);
    if (status === 413) {
      return sendProblem(request, reply, { code: 'payload_too_large', message: textOf(error) });
    }
    if (status === 415) return sendProblem(request, reply, wrongContentType, status);
    if (status === 403) return sendProblem(request, reply, { code: 'forbidden', message: textOf(error) });
    if (status >= 400 && status < 500) {
      return sendProblem(request, reply, { code: 'invalid_request', message: textOf(error) }, status);
    }
    // The text of a fault of ours is for the log, not for the caller.
    log.error({ err: error, requestId: request.id, route: request.routeOptions.url }, 'request failed');
    return sendProblem(request, reply, { code: 'internal', message: 'the gateway failed on this request' });
  };

interface BrokenRequest {
  readonly status: number;
  readonly message: string;
}

/** What Node's HTTP parser can say, by its error's code; everything else is not HTTP at all. */
const brokenRequests: Readonly<Record<string, BrokenRequest>> = {
  HPE_HEADER_OVERFLOW: { status: 431, message: 'the headers are too large' },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'the request came too slowly' },
};
const notHttp: BrokenRequest = { status: 400, message: 'not an HTTP request' };

/** Answers what was not HTTP enough to become a request; the connection is of no use afterwards. */
export function answerBrokenRequest(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return;
  const { status, message } = brokenRequests[error.code ?? ''] ?? notHttp;
  const refusal: Refusal = { code: 'invalid_request', message };
  const body = JSON.stringify(problemOf(refusal, { instance: '/', requestId: 'none', status }));
  const head = [
    `HTTP/1.1 ${status} ${message}`,
    `Content-Type: ${problemContentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'X-Content-Type-Options: nosniff',
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function statusOf(error: unknown): number {
  const status = (error as { readonly statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : 500;
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
