import type { Subjects } from '#shared/protocol/subjects.ts';
import type { Nats, Subscription } from '#shared/runtime/nats.ts';

export interface QueueSignalsOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly queue: string;
  /** Ids of items that were cancelled. */
  readonly onCancelled: (ids: readonly string[]) => void;
  /** The body of a `pending` event; left out: not listened to. */
  readonly onPending?: ((events: Uint8Array) => void) | undefined;
  /** A subscription was refused: the worker does without, only slower. */
  readonly onRefused: (error: Error) => void;
}

/** Live events that a worker acts upon at once. They may be missed: the renewal of leases tells the same, later. */
export class QueueSignals {
  readonly #subscriptions: readonly Subscription[];

  constructor(options: QueueSignalsOptions) {
    const { nats, subjects, queue, onCancelled, onPending, onRefused } = options;
    const listen = (state: string, read: (body: Uint8Array) => void) =>
      nats.connection.subscribe(subjects.queueEvents(queue, state), {
        callback: (error, message) => {
          if (error === null) read(message.data);
          else onRefused(error);
        },
      });
    const cancelled = listen('cancelled', (body) => onCancelled(idsOf(body)));
    this.#subscriptions = onPending === undefined ? [cancelled] : [cancelled, listen('pending', onPending)];
  }

  end(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
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
