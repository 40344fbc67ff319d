import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Nats, Subscription } from '#shared/runtime/nats.ts';

export interface QueueSignalsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly queue: string;
  /** Ids of items that were cancelled. */
  readonly onCancelled: (ids: readonly string[]) => void;
  /** The body of a `pending` event. */
  readonly onPending: (events: Uint8Array) => void;
  /** A subscription was refused: the worker does without, only slower. */
  readonly onRefused: (error: Error) => void;
}

/** Live events that a worker acts upon at once. They may be missed: the renewal of leases tells the same, later. */
export class QueueSignals {
  readonly #options: QueueSignalsOptions;
  readonly #subscriptions: Subscription[];
  #pending = false;

  constructor(options: QueueSignalsOptions) {
    this.#options = options;
    this.#subscriptions = [this.#listen('cancelled', (body) => options.onCancelled(idsOf(body)))];
  }

  /** From the first time that items are held on: a worker that never holds any need not hear of every item. */
  listenToPending(): void {
    if (this.#pending) return;
    this.#pending = true;
    this.#subscriptions.push(this.#listen('pending', this.#options.onPending));
  }

  end(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #listen(state: string, read: (body: Uint8Array) => void): Subscription {
    const { nats, subjects, queue, onRefused } = this.#options;
    return nats.connection.subscribe(subjects.queueEvents(queue, state), {
      callback: (error, message) => {
        if (error === null) read(message.data);
        else onRefused(error);
      },
    });
  }
}

/** Anybody who may publish there can have written it, so what cannot be read is nothing. */
function idsOf(body: Uint8Array): string[] {
  try {
    const events = JSON.parse(Buffer.from(body).toString()) as readonly { readonly id?: unknown }[];
    return events.map((event) => String(event.id));
  } catch {
    return [];
  }
}
