import {
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  type TextMapGetter,
  isSpanContextValid,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';

// W3C Trace Context in the headers of messages and requests, read and written by OpenTelemetry's own propagator.

/** Headers of a NATS message, or a plain object's `get`. */
export interface TraceHeaders {
  get(name: string): string | undefined;
}

/** The two headers as they travel; a name is left out where there is nothing to say. */
export interface TraceFields {
  readonly traceparent?: string;
  readonly tracestate?: string;
}

const propagator = new W3CTraceContextPropagator();

const getter: TextMapGetter<TraceHeaders> = {
  get: (headers, name) => {
    const value = headers.get(name);
    return value === '' ? undefined : value;
  },
  keys: () => ['traceparent', 'tracestate'],
};

/**
 * The context that a caller sent: pass it to `tracer.startSpan(name, options, context)` as the parent.
 * Absent or malformed headers give a context without a parent; never throws.
 */
export const traceContextOf = (headers: TraceHeaders | undefined): Context =>
  headers === undefined ? ROOT_CONTEXT : propagator.extract(ROOT_CONTEXT, headers, getter);

/** The caller's span, where its headers name a valid one. */
export function spanContextOf(headers: TraceHeaders | undefined): SpanContext | undefined {
  if (headers === undefined) return undefined;
  const found = trace.getSpanContext(traceContextOf(headers));
  return found !== undefined && isSpanContextValid(found) ? found : undefined;
}

/** The headers that carry `context` onwards; empty where it holds no valid span. */
export function traceFields(context: Context): TraceFields {
  const fields: { traceparent?: string; tracestate?: string } = {};
  propagator.inject(context, fields, {
    set: (carrier, name, value) => {
      if (name === 'traceparent') carrier.traceparent = value;
      else carrier.tracestate = value;
    },
  });
  return fields;
}

/** The headers that carry a span onwards. */
export const traceFieldsOf = (span: SpanContext): TraceFields =>
  traceFields(trace.setSpanContext(ROOT_CONTEXT, span));
