import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Context,
  type ContextManager,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  context,
  trace,
} from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Trivet } from '#shared/client/client.ts';
import { headersOf } from '#shared/runtime/nats.ts';
import { type RunningClient, startClient } from './running-client.ts';

/** As the SDK for Node.js has it, in the few lines that matter here. */
class AsyncContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  active(): Context {
    return this.#storage.getStore() ?? ROOT_CONTEXT;
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    active: Context,
    fn: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#storage.run(active, () => fn.apply(self as ThisParameterType<F>, args));
  }
  bind<T>(_active: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

const exporter = new InMemorySpanExporter();
let client: RunningClient;
let trivet: Trivet;

beforeAll(async () => {
  client = await startClient();
  ({ trivet } = client);
});
beforeEach(() => exporter.reset());
afterAll(async () => {
  trace.disable();
  context.disable();
  await client.stop();
});

const spans = (kind: SpanKind, queue: string) =>
  exporter
    .getFinishedSpans()
    .filter((span) => span.kind === kind && span.attributes['messaging.destination.name'] === queue);

async function spansOf(kind: SpanKind, queue: string, count: number): Promise<ReadableSpan[]> {
  await expect.poll(() => spans(kind, queue).length, { timeout: 10_000 }).toBe(count);
  return spans(kind, queue);
}

test('without an SDK no header is written', async () => {
  const queue = trivet.queue('untraced');
  const { id } = await queue.add('x');
  expect((await queue.get(id)).headers).toBeUndefined();
});

test('one trace tells the story from the caller over the producer to the handler and what that does', async () => {
  trace.setGlobalTracerProvider(
    new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }),
  );
  context.setGlobalContextManager(new AsyncContexts());
  const tracer = trace.getTracer('test');
  const worker = trivet.worker('traced', async () => {
    await Promise.resolve();
    tracer.startSpan('inside').end();
  });
  const queue = trivet.queue('traced');
  const id = await tracer.startActiveSpan('caller', async (caller) => {
    const added = await queue.add('x', { headers: { tenant: 'a' } });
    caller.end();
    return added.id;
  });
  const [processed] = await spansOf(SpanKind.CONSUMER, 'traced', 1);
  await worker.stop();
  const [sent] = spans(SpanKind.PRODUCER, 'traced');
  const all = exporter.getFinishedSpans();
  const caller = all.find((span) => span.name === 'caller');
  const inside = all.find((span) => span.name === 'inside');
  expect(sent).toMatchObject({
    name: 'send traced',
    parentSpanContext: { spanId: caller?.spanContext().spanId },
    attributes: {
      'messaging.system': 'trivet',
      'messaging.system.name': 'trivet',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
      'messaging.message.id': id,
    },
  });
  expect(processed).toMatchObject({
    name: 'process traced',
    parentSpanContext: { spanId: sent?.spanContext().spanId },
    links: [{ context: { spanId: sent?.spanContext().spanId } }],
    attributes: {
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.message.id': id,
      'trivet.item.attempt': 1,
    },
    status: { code: SpanStatusCode.UNSET },
  });
  expect(inside?.parentSpanContext?.spanId).toBe(processed?.spanContext().spanId);
  expect(new Set(all.map((span) => span.spanContext().traceId)).size).toBe(1);
  expect((await queue.get(id)).headers).toMatchObject({
    tenant: 'a',
    traceparent: expect.stringContaining(sent?.spanContext().spanId ?? '-') as string,
  });
});

test('each attempt has a span of its own, and a failed one says of what type', async () => {
  const worker = trivet.worker('failing', (_, job) => {
    if (job.attempt === 1) throw new RangeError('too far');
  });
  await trivet.queue('failing').add('x', { backoff: 'fixed:10ms' });
  const [first, second] = await spansOf(SpanKind.CONSUMER, 'failing', 2);
  await worker.stop();
  expect(first).toMatchObject({
    attributes: { 'error.type': 'RangeError', 'trivet.item.attempt': 1 },
    status: { code: SpanStatusCode.ERROR, message: 'too far' },
  });
  expect(second).toMatchObject({
    attributes: { 'trivet.item.attempt': 2 },
    status: { code: SpanStatusCode.UNSET },
  });
  expect(second?.parentSpanContext?.spanId).toBe(first?.parentSpanContext?.spanId);
});

test('a batch is one client span that links to a create span for each item', async () => {
  const queue = trivet.queue('batch');
  const added = await queue.addMany([
    { payload: 1 },
    { payload: 2, options: { delay: 'soon' } },
    { payload: 3 },
  ]);
  const [batch] = await spansOf(SpanKind.CLIENT, 'batch', 1);
  const created = spans(SpanKind.PRODUCER, 'batch');
  expect(added.map((one) => one.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(batch).toMatchObject({
    name: 'send batch',
    attributes: { 'messaging.batch.message_count': 3, 'error.type': 'invalid_request' },
  });
  expect(created.map((span) => span.name)).toEqual(['create batch', 'create batch', 'create batch']);
  expect(batch?.links.map((link) => link.context.spanId).toSorted()).toEqual(
    created.map((span) => span.spanContext().spanId).toSorted(),
  );
  expect(created.filter((span) => span.attributes['error.type'] === 'invalid_request')).toHaveLength(1);
});

test('a producer that wrote its own traceparent keeps it, in whatever language', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const headers = headersOf({ traceparent });
  if (headers === undefined) throw new Error('there are no headers');
  const worker = trivet.worker('foreign', () => undefined);
  await trivet.nats.connection.request(trivet.subjects.queue('foreign', 'enqueue'), '"x"', {
    timeout: 5_000,
    headers,
  });
  const [processed] = await spansOf(SpanKind.CONSUMER, 'foreign', 1);
  await worker.stop();
  expect(processed?.spanContext().traceId).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
  expect(processed?.parentSpanContext?.spanId).toBe('00f067aa0ba902b7');
});
