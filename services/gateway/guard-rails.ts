import fastifyCompress from '@fastify/compress';
import fastifyCors from '@fastify/cors';
import fastifyRateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest, FastifyReply } from 'fastify';
import type { Rate } from './core/rate.ts';
import { Refused } from './refused.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route calls `reply.compress` where it is worth it; others have their answers packed for them. */
    packsItself?: boolean;
  }
}

export interface GuardRails {
  /** Origins whose pages may call; none: no page of another origin may. */
  readonly corsOrigins: readonly string[];
  /** Of one principal, and of an address that showed no valid credentials; undefined: unlimited. */
  readonly rate: Rate | undefined;
  readonly rateRefused: Rate | undefined;
}

/** Answers below this many bytes are not worth the processor's time. */
export const packedFromBytes = 1_024;

/** Principals and addresses whose requests are counted at once; beyond it the one that was quiet longest is forgotten. */
const countedMax = 10_000;

const allowedHeaders = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'If-Match',
  'If-None-Match',
  'Last-Event-ID',
  'X-Request-Id',
  'traceparent',
  'tracestate',
];
const exposedHeaders = ['ETag', 'Location', 'Retry-After', 'Trivet-Degraded', 'X-Request-Id'];
const preflightSeconds = 600;

/** What comes before a request is looked at: which pages may call, and how bodies are packed. */
export async function registerGuardRails(app: FastifyInstance, { corsOrigins }: GuardRails): Promise<void> {
  if (corsOrigins.length > 0) {
    await app.register(fastifyCors, {
      origin: [...corsOrigins],
      methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowedHeaders,
      exposedHeaders,
      maxAge: preflightSeconds,
    });
  }
  // What packs its answers itself (mount.ts) is not asked again with each of them.
  app.addHook('onRoute', (route) => {
    if (route.config?.packsItself !== true) route.compress ??= {};
  });
  // Names of encodings are read in any case (RFC 9110, 8.4.1); the plugin knows them in small letters.
  app.addHook('onRequest', (request, _reply, done) => {
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined) request.headers['content-encoding'] = encoding.toLowerCase();
    done();
  });
  await app.register(fastifyCompress, {
    globalCompression: false,
    globalDecompression: true,
    threshold: packedFromBytes,
    encodings: ['gzip', 'br'],
    requestEncodings: ['gzip', 'deflate', 'br', 'identity'],
    onUnsupportedRequestEncoding: (encoding) =>
      new Refused(badEncoding(`Content-Encoding ${encoding} is not known here`), 415),
    onInvalidRequestPayload: (encoding) => new Refused(badEncoding(`the body is not ${encoding}`)),
  });
  await app.register(fastifyRateLimit, { global: false, cache: countedMax });
}

const badEncoding = (message: string) => ({
  code: 'invalid_request' as const,
  message,
  details: { field: 'Content-Encoding' },
});

/** Counts a request; rejects with `rate_limited` once its caller has made too many. */
export type CountRequest = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/**
 * Limits by principal; by address for whoever showed no valid credentials. Who is known is never counted with an
 * address: behind one proxy or NAT a stranger who guesses tokens must not lock out the others.
 */
export function requestLimits(app: FastifyInstance, { rate, rateRefused }: GuardRails) {
  return {
    known: limiter(app, rate, (request) => request.principal?.id ?? ''),
    refused: limiter(app, rateRefused, (request) => request.ip),
  };
}

function limiter(
  app: FastifyInstance,
  rate: Rate | undefined,
  keyOf: (request: FastifyRequest) => string,
): CountRequest | undefined {
  if (rate === undefined) return undefined;
  const check = app.createRateLimit({ max: rate.count, timeWindow: rate.perMs, keyGenerator: keyOf });
  return async (request, reply) => {
    const counted = await check(request);
    if (counted.isAllowed || !counted.isExceeded) return;
    reply.header('Retry-After', String(Math.max(1, counted.ttlInSeconds)));
    throw new Refused({
      code: 'rate_limited',
      message: `more than ${rate.count} requests in ${rate.perMs} ms`,
      details: { retryAfterMs: Math.ceil(counted.ttl) },
    });
  };
}
