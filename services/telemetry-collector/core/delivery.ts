/** What a destination said to one request. */
export type Outcome =
  /** It has them. `rejected` of them it refused for good, and told us so: never sent again. */
  | { readonly kind: 'accepted'; readonly rejected: number; readonly reason?: string }
  /** Not now: sent again after at least `afterMs`, for ever. */
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs?: number }
  /** Never: this content will not be taken, however often it is sent. */
  | { readonly kind: 'refused'; readonly reason: string };

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly retryAfter: string | undefined;
  readonly bodyBytes: number;
  /** What a success must be written in. */
  readonly encoding: 'protobuf' | 'json';
}

const otlpTypes = { protobuf: /^application\/(x-)?protobuf\b/i, json: /^application\/json\b/i } as const;

// Refusals of the content itself. Everything else (401, 403, 404, redirects, …) is a fault of the configuration or of
// the network on the way: what was sent is as good as before, so it waits until somebody mends that.
const contentRefusals: ReadonlySet<number> = new Set([400, 413, 422]);

/**
 * The outcome of an answer to an OTLP request over HTTP, as far as status and headers tell it (OTLP 1.x, "Failures").
 * A success with a body in another encoding is none: it came from a proxy or a sign-in page, not from a receiver.
 */
export function outcomeOf(answer: HttpAnswer, nowMs: number): Outcome {
  if (answer.status >= 200 && answer.status < 300) {
    const isOtlp = answer.bodyBytes === 0 || otlpTypes[answer.encoding].test(answer.contentType ?? '');
    if (isOtlp) return { kind: 'accepted', rejected: 0 };
    return { kind: 'retry', reason: `a success with ${answer.contentType ?? 'an untyped body'} is no OTLP` };
  }
  const reason = `status ${answer.status}`;
  if (contentRefusals.has(answer.status)) return { kind: 'refused', reason };
  const afterMs = retryAfterMs(answer.retryAfter, nowMs);
  return afterMs === undefined ? { kind: 'retry', reason } : { kind: 'retry', reason, afterMs };
}

/** gRPC's status codes, as far as they mean anything here. */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export interface GrpcAnswer {
  readonly code: number;
  readonly message: string;
  /** From the answer's RetryInfo. */
  readonly retryAfterMs: number | undefined;
}

/**
 * The outcome of a gRPC status that is not OK (OTLP 1.x, "OTLP/gRPC Response"). What is exhausted without a word about
 * when to come back is the size of the request, which halving mends; what is a matter of configuration waits.
 */
export function grpcOutcomeOf({ code, message, retryAfterMs: afterMs }: GrpcAnswer): Outcome {
  const reason = `gRPC status ${code}: ${message}`;
  const isSize =
    code === grpcStatus.resourceExhausted && afterMs === undefined && /larger|size|too big/i.test(message);
  if (code === grpcStatus.invalidArgument || isSize) return { kind: 'refused', reason };
  if (afterMs === undefined) return { kind: 'retry', reason };
  return { kind: 'retry', reason, afterMs: Math.min(afterMs, retryAfterMsMax) };
}

/** `Retry-After`: seconds or an HTTP date. Undefined where it is neither. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(header)) return Math.min(Number(header) * 1_000, retryAfterMsMax);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.min(Math.max(0, at - nowMs), retryAfterMsMax);
}

/** A receiver may ask for patience; one that asks for more than an hour is asked again after it. */
const retryAfterMsMax = 3_600_000;

const delayMsMin = 250;
const delayMsMax = 30_000;

/**
 * Milliseconds before the next attempt: exponential, capped, with full jitter above what the receiver asked for.
 * Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
 * @param attempt  attempts already made, from 1
 * @param random01 uniform in [0, 1)
 * @param afterMs  the receiver's own `Retry-After`, as a lower bound
 */
export function retryDelayMs(attempt: number, random01: number, afterMs = 0): number {
  const ceiling = Math.min(delayMsMax, delayMsMin * 2 ** Math.min(attempt - 1, 20));
  return Math.floor(afterMs + random01 * ceiling);
}
