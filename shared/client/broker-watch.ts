import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Nats, onReconnect } from '#shared/runtime/nats.ts';

/**
 * Tells those who wait for a broker's answer that it may not come any more: another broker serves, or the connection was
 * lost and is there again. What they asked, or its reply, may have gone with the former one. One for each client.
 */
export class BrokerWatch {
  readonly #nats: Nats;
  readonly #subject: string;
  readonly #actions = new Set<() => void>();
  #isWatching = false;

  constructor(nats: Nats, { queueBrokerEvents }: Subjects) {
    this.#nats = nats;
    this.#subject = queueBrokerEvents;
  }

  /** Calls `action` each time, until the function that is returned is called. */
  onNew(action: () => void): () => void {
    this.#begin();
    this.#actions.add(action);
    return () => this.#actions.delete(action);
  }

  #begin(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    const tell = (): void => {
      for (const action of this.#actions) action();
    };
    onReconnect(this.#nats, tell);
    // Where the subscription is refused they find out by themselves, only later.
    const callback = (error: Error | null): void => {
      if (error === null) tell();
    };
    try {
      this.#nats.connection.subscribe(this.#subject, { callback });
    } catch {
      // The connection was closed for good, or is about to be: what they ask on it tells them so.
    }
  }
}
