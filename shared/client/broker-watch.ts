import type { Subjects } from '#shared/protocol/subjects.ts';
import { type Nats, onReconnect } from '#shared/runtime/nats.ts';

/** The connection was lost and is there again, or another broker serves. */
export type Renewal = 'connection' | 'broker';

/**
 * Tells those who wait for a broker's answer that it may not come any more: another broker serves, or the connection was
 * lost and is there again. What they asked, or its reply, may have gone with the former one. One for each client.
 */
export class BrokerWatch {
  readonly #nats: Nats;
  readonly #subject: string;
  readonly #actions = new Set<(why: Renewal) => void>();
  #isWatching = false;
  #wasHeard = false;

  constructor(nats: Nats, { queueBrokerEvents }: Subjects) {
    this.#nats = nats;
    this.#subject = queueBrokerEvents;
  }

  /** Whether a broker has answered this client before: where none does then, another one is about to. */
  get wasHeard(): boolean {
    return this.#wasHeard;
  }

  /** A broker has answered. */
  hear(): void {
    this.#wasHeard = true;
  }

  /** Calls `action` each time, until the function that is returned is called. */
  onNew(action: (why: Renewal) => void): () => void {
    this.#begin();
    this.#actions.add(action);
    return () => this.#actions.delete(action);
  }

  #begin(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    const tell = (why: Renewal): void => {
      for (const action of this.#actions) action(why);
    };
    onReconnect(this.#nats, () => tell('connection'));
    // Where the subscription is refused they find out by themselves, only later.
    const callback = (error: Error | null): void => {
      if (error === null) tell('broker');
    };
    try {
      this.#nats.connection.subscribe(this.#subject, { callback });
    } catch {
      // The connection was closed for good, or is about to be: what they ask on it tells them so.
    }
  }
}
