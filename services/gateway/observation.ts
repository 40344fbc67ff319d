import type { FastifyRequest } from 'fastify';
import type { Clock } from '#shared/runtime/clock.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import { traceContextOf, traceFieldsOf } from '#shared/runtime/trace-context.ts';
import type { RequestFigures } from './core/request-figures.ts';

export interface ObserverOptions {
  readonly clock: Clock;
  readonly figures: RequestFigures;
  readonly telemetry: OwnTelemetry;
}

/** What is known of one request while it is answered. */
export interface Observation {
  /** The trace context for what the request asks of other services. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  /** Milliseconds since its headers were here. */
  ageMs(): number;
  /** Called once, when the answer is out or the caller is gone. */
  end(status: number): void;
}

const untraced: Readonly<Record<string, string>> = {};

/** SpanKind.SERVER of OpenTelemetry, whose package has its doors elsewhere. */
const serverSpan = 1;

/**
 * Counts and traces requests, by OpenTelemetry's semantic conventions for HTTP servers.
 * A route that does not exist is counted as one route: what callers make up must not make series.
 */
export function requestObserver({ clock, figures, telemetry }: ObserverOptions) {
  const { isMetered, isTraced } = telemetry;
  const duration = telemetry.meter.createHistogram('http.server.request.duration', {
    unit: 's',
    description: 'Duration of HTTP server requests.',
  });
  return (request: FastifyRequest): Observation => {
    const startedMs = clock.monotonicMs();
    const { method } = request;
    const route = request.routeConfig.url ?? 'none';
    const hasParent = request.headers['traceparent'] !== undefined;
    // Most callers send none, and most gateways trace nothing: then there is nothing to make a span of.
    const span = isTraced || hasParent ? spanOf(telemetry, request, route) : undefined;
    figures.begin();
    return {
      traceHeaders: span === undefined ? untraced : headersOf(span, hasParent),
      ageMs: () => clock.monotonicMs() - startedMs,
      end: (status) => {
        const seconds = (clock.monotonicMs() - startedMs) / 1_000;
        figures.end();
        figures.count({ method, route, status, seconds });
        if (isMetered)
          duration.record(seconds, {
            'http.request.method': method,
            'http.route': route,
            'http.response.status_code': status,
          });
        if (span !== undefined) endSpan(span, status);
      },
    };
  };
}

function spanOf({ tracer }: OwnTelemetry, request: FastifyRequest, route: string): Span {
  const parent = traceContextOf({ get: (name) => headerText(request, name) });
  const options = {
    kind: serverSpan,
    attributes: { 'http.request.method': request.method, 'http.route': route },
  };
  return tracer.startSpan(`${request.method} ${route}`, options, parent);
}

const headersOf = (span: Span, hasParent: boolean): Observation['traceHeaders'] =>
  span.isRecording() || hasParent ? { ...traceFieldsOf(span.spanContext()) } : untraced;

function endSpan(span: Span, status: number): void {
  span.setAttribute('http.response.status_code', status);
  if (status >= 500) span.setAttribute('error.type', String(status));
  span.end();
}

type Span = ReturnType<OwnTelemetry['tracer']['startSpan']>;

function headerText(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}
