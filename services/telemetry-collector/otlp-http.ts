import { gzipSync } from 'node:zlib';
import { parseKeyPairsIntoRecord } from '@opentelemetry/core';
import type { Clock } from '#shared/runtime/clock.ts';
import { type Outcome, outcomeOf } from './core/delivery.ts';

export type Signal = 'metrics' | 'logs' | 'traces';

/** Where the requests of one signal go, by the standard `OTEL_EXPORTER_OTLP_*` variables. */
export interface OtlpTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly gzip: boolean;
  readonly timeoutMs: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const timeoutMsDefault = 10_000;
const reasonLengthMax = 500;

/**
 * The target of a signal; undefined where neither the endpoint nor the signal's own one is set.
 * @param endpoint the base URL from the configuration
 */
export function otlpTarget(
  signal: Signal,
  endpoint: string | undefined,
  env: Environment,
): OtlpTarget | undefined {
  const own = setting(signal, 'ENDPOINT', env, false);
  if (own === undefined && (endpoint === undefined || endpoint === '')) return undefined;
  const timeoutMs = Number(setting(signal, 'TIMEOUT', env));
  return {
    url: own ?? `${endpoint?.replace(/\/+$/, '')}/v1/${signal}`,
    headers: {
      ...parseKeyPairsIntoRecord(env['OTEL_EXPORTER_OTLP_HEADERS']),
      ...parseKeyPairsIntoRecord(setting(signal, 'HEADERS', env, false)),
    },
    gzip: setting(signal, 'COMPRESSION', env) === 'gzip',
    timeoutMs: timeoutMs > 0 ? timeoutMs : timeoutMsDefault,
  };
}

/** A variable of the signal, else (where `shared`) the one for all signals. */
function setting(signal: Signal, name: string, env: Environment, shared = true): string | undefined {
  const own = env[`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${name}`];
  const value = own === undefined || own === '' ? shared && env[`OTEL_EXPORTER_OTLP_${name}`] : own;
  return value === false || value === '' ? undefined : value;
}

/** Reads how many of the request's items were refused in a success (OTLP's "partial success"). */
export type ReadPartial = (body: Uint8Array) => { readonly rejected: number; readonly reason?: string };

/**
 * Sends OTLP requests to one target. The exporters of OpenTelemetry for JavaScript serve as they are for a process's
 * own figures (shared/runtime/telemetry.ts), not here: they hide `Retry-After` and the partial success from their
 * caller and take any 2xx for a success, and here a message is acknowledged on that answer. Their serializers are used.
 */
export class OtlpSender {
  readonly #target: OtlpTarget;
  readonly #readPartial: ReadPartial;
  readonly #clock: Clock;

  constructor(target: OtlpTarget, readPartial: ReadPartial, clock: Clock) {
    this.#target = target;
    this.#readPartial = readPartial;
    this.#clock = clock;
  }

  /** Sends one request, once. Every fault is an outcome; never rejects. */
  async post(body: Uint8Array): Promise<Outcome> {
    const { url, headers, gzip, timeoutMs } = this.#target;
    const abort = new AbortController();
    const cancel = this.#clock.after(timeoutMs, () => abort.abort(new Error(`no answer in ${timeoutMs} ms`)));
    try {
      const answer = await fetch(url, {
        method: 'POST',
        // A redirect would turn the request into a GET without its body.
        redirect: 'manual',
        headers: {
          ...headers,
          'content-type': 'application/x-protobuf',
          ...(gzip ? { 'content-encoding': 'gzip' } : {}),
        },
        body: gzip
          ? gzipSync(body)
          : Buffer.from(body.buffer as ArrayBuffer, body.byteOffset, body.byteLength),
        signal: abort.signal,
      });
      return this.#read(answer, new Uint8Array(await answer.arrayBuffer()));
    } catch (error) {
      return { kind: 'retry', reason: faultText(error) };
    } finally {
      cancel();
    }
  }

  #read(answer: Response, body: Uint8Array): Outcome {
    const outcome = outcomeOf(
      {
        status: answer.status,
        contentType: answer.headers.get('content-type') ?? undefined,
        retryAfter: answer.headers.get('retry-after') ?? undefined,
        bodyBytes: body.length,
      },
      this.#clock.nowMs(),
    );
    if (outcome.kind !== 'accepted') return { ...outcome, reason: `${outcome.reason}${bodyText(body)}` };
    if (body.length === 0) return outcome;
    try {
      return { kind: 'accepted', ...this.#readPartial(body) };
    } catch (error) {
      return { kind: 'retry', reason: `a success whose body is no OTLP response: ${faultText(error)}` };
    }
  }
}

/** The readable part of what a receiver says about a fault. */
function bodyText(body: Uint8Array): string {
  const text = Buffer.from(body)
    .toString('utf8')
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return text === '' ? '' : `: ${text.slice(0, reasonLengthMax)}`;
}

function faultText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // fetch says "fetch failed" and keeps the reason in the cause.
  const { cause } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : error.message;
}
