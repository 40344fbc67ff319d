import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import type { Added } from './added-item.ts';
import {
  type Span,
  failSpan,
  headersWithSpan,
  messagingTracer,
  startSend,
  startSendBatch,
} from './messaging-spans.ts';
import { type Middleware, compose } from './middleware.ts';
import { type AddOptions, type NewItem, bytesHeaders, itemText } from './new-item.ts';
import { type PayloadSchema, checkPayload } from './payload-schema.ts';
import type { QueueChannel } from './queue-channel.ts';

export interface ProducerOptions<Payload> {
  readonly schema?: PayloadSchema<Payload, unknown> | undefined;
  readonly middleware?: readonly Middleware<NewItem, Added>[] | undefined;
}

interface FlowItem {
  readonly payload: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly children?: readonly FlowItem[] | undefined;
}

/** In a request that is JSON bytes would arrive as base64 text, which no worker expects. */
function refuseBytes({ payload, children }: FlowItem, path = ''): void {
  if (payload instanceof Uint8Array) {
    const problem = 'must be a JSON value: bytes are not taken here';
    throw new TrivetError(refuseField(`${path}payload`, problem).error);
  }
  if (!Array.isArray(children)) return;
  for (const [index, child] of children.entries())
    refuseBytes((child ?? {}) as FlowItem, `${path}children[${index}].`);
}

const withSpan = (span: Span, item: FlowItem): FlowItem => ({
  ...item,
  headers: headersWithSpan(span, item.headers),
  ...(item.children === undefined ? {} : { children: item.children.map((child) => withSpan(span, child)) }),
});

/** What is no item at all is refused alone, as one without a payload. */
function partsOf<Payload>(item: unknown): [Payload, AddOptions] {
  const { payload, options } = (item ?? {}) as { payload?: unknown; options?: AddOptions | null };
  return [payload as Payload, options ?? {}];
}

/** Whether adding it twice makes one item. What replaces another one may be replaced itself in between. */
const isRepeatable = ({ key, onDuplicate = 'keep' }: AddOptions): boolean =>
  key !== undefined && onDuplicate === 'keep';

/** How an item leaves, from the outside in: span, schema, middleware, message. */
export class QueueProducer<Payload> {
  readonly #channel: QueueChannel;
  readonly #schema: ProducerOptions<Payload>['schema'];
  readonly #send: (item: NewItem) => Promise<Added> | Added;
  /** Nothing stands between the caller and the message. */
  readonly #plain: boolean;

  constructor(channel: QueueChannel, { schema, middleware = [] }: ProducerOptions<Payload>) {
    this.#channel = channel;
    this.#schema = schema;
    this.#send = compose<NewItem, Added>(middleware, (item) => this.#enqueue(item));
    this.#plain = schema === undefined && middleware.length === 0;
  }

  add(payload: Payload, options: AddOptions | null): Promise<Added> {
    const { queue } = this.#channel;
    const tracer = messagingTracer();
    // In a program without types null is none, as in `addMany`.
    const item: NewItem = { queue, payload, options: options ?? {} };
    if (tracer !== undefined) return this.#add(item, startSend(tracer, queue, 'send'));
    if (!this.#plain) return this.#add(item);
    try {
      return this.#enqueue(item);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Adds many, each on its own; in a trace, one span for the batch and one for each item. */
  async addMany(
    items: readonly { readonly payload: Payload; readonly options?: AddOptions | undefined }[],
  ): Promise<readonly PromiseSettledResult<Added>[]> {
    const tracer = messagingTracer();
    if (tracer === undefined)
      return Promise.allSettled(items.map((one) => this.add(...partsOf<Payload>(one))));
    const { queue } = this.#channel;
    const spans = items.map(() => startSend(tracer, queue, 'create'));
    const batch = startSendBatch(tracer, queue, spans);
    const added = await Promise.allSettled(
      items.map((one, index) => {
        const [payload, options] = partsOf<Payload>(one);
        return this.#add({ queue, payload, options }, spans[index]);
      }),
    );
    const refused = added.find((one) => one.status === 'rejected');
    if (refused !== undefined) failSpan(batch, refused.reason);
    batch.end();
    return added;
  }

  /** A tree of items, whose every item carries the span that adds it. */
  async flow<Reply>(tree: FlowItem): Promise<Reply> {
    refuseBytes(tree);
    await this.check(tree.payload);
    const { queue } = this.#channel;
    const tracer = messagingTracer();
    if (tracer === undefined) return this.#channel.ask('enqueue-flow', tree);
    const span = startSend(tracer, queue, 'send');
    try {
      return await this.#channel.ask('enqueue-flow', withSpan(span, tree));
    } catch (error) {
      failSpan(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  /** Rejects with `invalid_request` when the payload does not fit the queue's schema. */
  async check(payload: unknown): Promise<void> {
    if (this.#schema === undefined) return;
    const checked = await checkPayload(this.#schema, payload);
    if (!checked.ok) throw new TrivetError(checked.error);
  }

  async #add(item: NewItem, span?: Span): Promise<Added> {
    try {
      if (this.#schema !== undefined) await this.check(item.payload);
      if (span !== undefined)
        item.options = { ...item.options, headers: headersWithSpan(span, item.options.headers) };
      const added = await this.#send(item);
      span?.setAttribute('messaging.message.id', added.id);
      return added;
    } catch (error) {
      if (span !== undefined) failSpan(span, error);
      throw error;
    } finally {
      span?.end();
    }
  }

  #enqueue(item: NewItem): Promise<Added> {
    const { payload, options } = item;
    if (payload instanceof Uint8Array)
      return this.#channel.enqueueBytes(payload, bytesHeaders(payload, options), isRepeatable(options));
    return this.#channel.enqueue(itemText(item), isRepeatable(options));
  }
}
