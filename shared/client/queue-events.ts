import { TrivetError, refuse, refuseField } from '#shared/protocol/errors.ts';
import type { QueuePriority, QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { states as allStates } from '#shared/protocol/queue-words.ts';
import type { Subscription } from '#shared/runtime/nats.ts';
import { failureOf } from './handler-errors.ts';
import type { QueueChannel } from './queue-channel.ts';

/** An item has entered a state. */
export interface QueueEvent {
  readonly queue: string;
  readonly state: QueueStatus;
  readonly id: string;
  readonly priority: QueuePriority;
  readonly attempt: number;
  /** RFC 3339. */
  readonly at: string;
}

export interface EventsOptions {
  /** Default: all. */
  readonly states?: readonly QueueStatus[] | undefined;
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
}

/** Events that wait for a reader. Beyond it the oldest go: a reader that is too slow misses some, as it may anyway. */
const waitingMax = 10_000;

/**
 * Calls `listener` for every event of these states. The returned function ends it. Throws `invalid_request` for a state
 * that there is not: nothing would ever be heard of it; `unavailable` once the client was closed.
 */
export function listenToEvents(
  channel: QueueChannel,
  states: readonly QueueStatus[] | undefined,
  listener: (event: QueueEvent) => void,
  onClosed: (fault: Error | undefined) => void = () => undefined,
): () => void {
  if (states?.every((state) => allStates.includes(state)) === false)
    throw new TrivetError(refuseField('state', `must be one of ${allStates.join(', ')}`).error);
  const subscriptions = (states ?? ['*']).map((state) => subscribeTo(channel, state, listener));
  // The connection was closed, or the subscription was refused.
  for (const { closed } of subscriptions)
    void closed.then((fault) => onClosed(fault instanceof Error ? fault : undefined));
  return () => {
    for (const subscription of subscriptions) subscription.unsubscribe();
  };
}

function subscribeTo(
  { nats, subjects, queue }: QueueChannel,
  state: string,
  listener: (event: QueueEvent) => void,
): Subscription {
  try {
    return nats.connection.subscribe(subjects.queueEvents(queue, state), {
      callback: (error, message) => {
        if (error !== null) return;
        const entered = message.subject.slice(message.subject.lastIndexOf('.') + 1) as QueueStatus;
        for (const event of eventsOf(message.data)) tell(listener, { queue, state: entered, ...event });
      },
    });
  } catch (error) {
    // The library's own error, of a connection that was closed or is about to be.
    throw new TrivetError(refuse('unavailable', failureOf(error).message).error, { cause: error });
  }
}

/** Thrown on, it would end the library's reading of the socket, and the client would hear nothing more. */
function tell(listener: (event: QueueEvent) => void, event: QueueEvent): void {
  try {
    listener(event);
  } catch (error) {
    const { message } = failureOf(error);
    process.emitWarning(`a listener to events of ${event.queue} has thrown: ${message}`, 'TrivetWarning');
  }
}

/** The same as an iteration. It listens from the beginning on, not only from the first step. */
export class EventIteration implements AsyncIterableIterator<QueueEvent> {
  readonly #waiting: QueueEvent[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #unsubscribe: () => void;
  /** Those whose `next` waits: several may, and each has an event of its own. */
  readonly #readers = new Set<() => void>();
  #ended = false;
  #fault: Error | undefined;

  constructor(channel: QueueChannel, { states, signal }: EventsOptions) {
    this.#signal = signal;
    this.#unsubscribe = listenToEvents(
      channel,
      states,
      (event) => {
        if (this.#waiting.length === waitingMax) this.#waiting.shift();
        this.#waiting.push(event);
        this.#wake();
      },
      (fault) => {
        // Ended with the one that was refused, the others have no fault to tell.
        this.#fault ??= fault;
        this.#end();
      },
    );
    signal?.addEventListener('abort', this.#end, { once: true });
    if (signal?.aborted === true) this.#end();
  }

  async next(): Promise<IteratorResult<QueueEvent, undefined>> {
    for (;;) {
      const value = this.#waiting.shift();
      if (value !== undefined) return { done: false, value };
      const fault = this.#fault;
      this.#fault = undefined;
      if (fault !== undefined) throw new TrivetError(refuse('forbidden', fault.message).error);
      if (this.#ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#readers.add(resolve);
      });
    }
  }

  return(): Promise<IteratorResult<QueueEvent, undefined>> {
    this.#waiting.length = 0;
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  readonly #end = (): void => {
    this.#ended = true;
    this.#signal?.removeEventListener('abort', this.#end);
    this.#unsubscribe();
    this.#wake();
  };

  /** All in their order: the first finds the event, the others wait on. */
  #wake(): void {
    for (const read of this.#readers) read();
    this.#readers.clear();
  }
}

/** What cannot be read is no event: anybody who may publish there can have written it. */
function eventsOf(body: Uint8Array): readonly Omit<QueueEvent, 'queue' | 'state'>[] {
  try {
    const events: unknown = JSON.parse(Buffer.from(body).toString());
    return Array.isArray(events) ? (events as Omit<QueueEvent, 'queue' | 'state'>[]) : [];
  } catch {
    return [];
  }
}
