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
  const duration = telemetry.meter.createHistogram('http.server.request.duration', {
    unit: 's',
    description: 'Duration of HTTP server requests.',
  });
  return (request: FastifyRequest): Observation => {
    const startedMs = clock.monotonicMs();
    const { method } = request;
    const route = request.routeOptions.url ?? 'none';
    // Most callers send none: then there is nothing to read.
    const isTraced = request.headers['traceparent'] !== undefined;
    const parent = traceContextOf(isTraced ? { get: (name) => headerText(request, name) } : undefined);
    const options = { kind: serverSpan, attributes: { 'http.request.method': method, 'http.route': route } };
    const span = telemetry.tracer.startSpan(`${method} ${route}`, options, parent);
    figures.begin();
    const traceHeaders = span.isRecording() || isTraced ? { ...traceFieldsOf(span.spanContext()) } : untraced;
    return {
      traceHeaders,
      end: (status) => {
        const seconds = (clock.monotonicMs() - startedMs) / 1_000;
        figures.end();
        figures.count({ method, route, status, seconds });
        duration.record(seconds, {
          'http.request.method': method,
          'http.route': route,
          'http.response.status_code': status,
        });
        span.setAttribute('http.response.status_code', status);
        if (status >= 500) span.setAttribute('error.type', String(status));
        span.end();
      },
    };
  };
}

function headerText(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}
