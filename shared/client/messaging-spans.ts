import {
  type Attributes,
  type Context,
  type ContextManager,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  context,
  trace,
} from '@opentelemetry/api';
import { TrivetError } from '#shared/protocol/errors.ts';
import { headersMax } from '#shared/protocol/limits.ts';
import { spanContextOf, traceFieldsOf } from '#shared/runtime/trace-context.ts';
import { version } from '#shared/runtime/version.ts';

// Spans by OpenTelemetry's semantic conventions for messaging (1.45). Only the API is used here: whoever wants traces
// registers an SDK, and as long as nobody has, no span is begun and no header is written.

export type { Span } from '@opentelemetry/api';

type Headers = Readonly<Record<string, string>>;
const scope = 'trivet';

/** What an SDK has registered for the whole process, whichever copy of OpenTelemetry's API it came by. */
interface Registered {
  readonly trace?: Pick<ProxyTracerProvider, 'getDelegateTracer'>;
  readonly context?: Pick<ContextManager, 'with'>;
}

/**
 * Where every 1.x of the API keeps it. A copy gives out nothing that an older one has registered, since it may have
 * more functions; the few that are called here are as old as 1.0. An SDK of 2.x takes no API from 1.10 on, so that
 * beside it ours is always the newer copy.
 */
const registered = (): Registered | undefined =>
  (globalThis as Record<symbol, Registered | undefined>)[Symbol.for('opentelemetry.js.api.1')];

/** The tracer of the SDK that the program has registered; undefined when there is none. */
export function messagingTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  if (!(provider instanceof ProxyTracerProvider)) return provider.getTracer(scope, version);
  return provider.getDelegateTracer(scope, version) ?? registered()?.trace?.getDelegateTracer(scope, version);
}

/** The span of one item that is added: begun in the caller's context, carried on by the item's headers. */
export function startSend(tracer: Tracer, queue: string, operation: 'send' | 'create'): Span {
  return tracer.startSpan(`${operation} ${queue}`, {
    kind: SpanKind.PRODUCER,
    attributes: attributesOf(queue, operation, operation),
  });
}

/** The span of a batch. It is a client's, since each item has a `create` span of its own, which it links to. */
export function startSendBatch(tracer: Tracer, queue: string, created: readonly Span[]): Span {
  return tracer.startSpan(`send ${queue}`, {
    kind: SpanKind.CLIENT,
    attributes: {
      ...attributesOf(queue, 'send', 'send'),
      'messaging.batch.message_count': created.length,
    },
    links: created.map((span) => ({ context: span.spanContext() })),
  });
}

/** The item's headers with the span's context; the caller's own `traceparent` stays, where there is one. */
export function headersWithSpan(span: Span, headers: Headers = {}): Headers {
  if (Object.keys(headers).length > headersMax - 2) return headers;
  return { ...traceFieldsOf(span.spanContext()), ...headers };
}

interface ProcessedItem {
  readonly id: string;
  readonly queue: string;
  readonly attempt: number;
  readonly headers: Headers;
}

/**
 * Runs one attempt within its `process` span, which is the active one meanwhile. The producer's span is its parent, so
 * that one trace tells the whole story, and its link, as the conventions ask; every attempt has a span of its own.
 */
export function processInSpan<Outcome>(
  tracer: Tracer,
  item: ProcessedItem,
  work: () => Promise<Outcome> | Outcome,
): Promise<Outcome> {
  const producer = spanContextOf({ get: (name) => item.headers[name] });
  const parent = producer === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, producer);
  const span = tracer.startSpan(
    `process ${item.queue}`,
    {
      kind: SpanKind.CONSUMER,
      attributes: {
        ...attributesOf(item.queue, 'process', 'process'),
        'messaging.message.id': item.id,
        'trivet.item.attempt': item.attempt,
      },
      links: producer === undefined ? [] : [{ context: producer }],
    },
    parent,
  );
  return inSpan(span, trace.setSpan(parent, span), work);
}

async function inSpan<Outcome>(span: Span, active: Context, work: () => Promise<Outcome> | Outcome) {
  try {
    return await (registered()?.context ?? context).with(active, work);
  } catch (error) {
    failSpan(span, error);
    throw error;
  } finally {
    span.end();
  }
}

export function failSpan(span: Span, error: unknown): void {
  span.setAttribute('error.type', errorType(error));
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: error instanceof Error ? error.message : String(error),
  });
}

function errorType(error: unknown): string {
  if (error instanceof TrivetError) return error.code;
  return error instanceof Error ? error.name : '_OTHER';
}

/** `messaging.system` is what `messaging.system.name` was called before; most tools still look for it. */
const attributesOf = (queue: string, name: string, type: string): Attributes => ({
  'messaging.system': 'trivet',
  'messaging.system.name': 'trivet',
  'messaging.destination.name': queue,
  'messaging.operation.name': name,
  'messaging.operation.type': type,
});
