import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Refusal } from '#shared/protocol/errors.ts';
import type { Log } from '#shared/runtime/log.ts';
import { problemOf } from './core/problem.ts';
import { Refused } from './refused.ts';

const problemContentType = 'application/problem+json; charset=utf-8';

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
    if (error instanceof Refused) return sendProblem(request, reply, error.refusal, error.httpStatus);
    const status = statusOf(error);
    if (status === 413) {
      return sendProblem(request, reply, { code: 'payload_too_large', message: textOf(error) });
    }
    if (status === 415) return sendProblem(request, reply, wrongContentType, status);
    if (status >= 400 && status < 500) {
      return sendProblem(request, reply, { code: 'invalid_request', message: textOf(error) }, status);
    }
    // The text of a fault of ours is for the log, not for the caller.
    log.error({ err: error, requestId: request.id, route: request.routeOptions.url }, 'request failed');
    return sendProblem(request, reply, { code: 'internal', message: 'the gateway failed on this request' });
  };

/** Answers what was not HTTP enough to become a request; the connection is of no use afterwards. */
export function answerBrokenRequest(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const status = tooLarge ? 431 : late ? 408 : 400;
  const message = tooLarge
    ? 'the headers are too large'
    : late
      ? 'the request came too slowly'
      : 'not an HTTP request';
  const body = JSON.stringify(
    problemOf({ code: 'invalid_request', message }, { instance: '/', requestId: 'none', status }),
  );
  if (!socket.writable) return;
  socket.end(
    `HTTP/1.1 ${status} ${message}\r\nContent-Type: ${problemContentType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n${body}`,
  );
}

function statusOf(error: unknown): number {
  const status = (error as { readonly statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : 500;
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
