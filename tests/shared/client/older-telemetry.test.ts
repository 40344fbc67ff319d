import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { afterEach, expect, test } from 'vitest';
import { messagingTracer, processInSpan, startSend } from '#shared/client/messaging-spans.ts';

/** Where the API keeps what an SDK registers, for all of its copies in a process. */
const place = Symbol.for('opentelemetry.js.api.1');
const globals = globalThis as Record<symbol, unknown>;

afterEach(() => {
  delete globals[place];
});

test('an SDK that came with an older API gets the spans as well, and its context is active in the handler', async () => {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  let active = ROOT_CONTEXT;
  globals[place] = {
    version: '1.9.1',
    // As that copy's own ProxyTracerProvider has it.
    trace: { getDelegateTracer: (name: string) => provider.getTracer(name) },
    context: {
      active: () => active,
      with: (next: typeof active, work: () => unknown) => {
        active = next;
        return work();
      },
    },
  };
  const tracer = messagingTracer();
  if (tracer === undefined) throw new Error('no tracer of the SDK');
  startSend(tracer, 'mails', 'send').end();
  const item = { id: '1-1', queue: 'mails', attempt: 1, headers: {} };
  const inside = await processInSpan(tracer, item, () => trace.getSpan(active)?.spanContext().spanId);
  const [sent, processed] = exporter.getFinishedSpans();
  expect([sent?.name, processed?.name]).toEqual(['send mails', 'process mails']);
  expect(inside).toBe(processed?.spanContext().spanId);
});
