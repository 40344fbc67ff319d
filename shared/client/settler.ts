import type { Refusal } from '#shared/protocol/errors.ts';
import type { LeasedItem } from '#shared/protocol/queue-schemas.ts';
import { type Settlement, type SettlingOperation, messagesOf, settlingOperations } from './settlement.ts';
import type { WorkerWire } from './worker-wire.ts';

export interface SettlerOptions {
  readonly wire: WorkerWire;
  /** How many items to bring along with a message; they count as asked for until `onAnswered`. */
  readonly reserve: () => number;
  /** What had gathered has been sent. */
  readonly onSent: () => void;
  /** An item's outcome is known to the broker, or was refused, or (after a lease of silence) given up. */
  readonly onSettled: (settlement: Settlement, refusal: Refusal | undefined) => void;
  /** A message was answered: what was reserved for it, and what came. */
  readonly onAnswered: (reserved: number, next: readonly LeasedItem[]) => void;
  readonly onFault: (refusal: Refusal) => void;
}

/** Items in one message: more would only wait for each other, while the broker could have begun with the first ones. */
const settlementsPerMessage = 100;

/**
 * Says how items went. What ends in one turn of the event loop goes out as one message for each operation, and the last
 * of them brings the next items along.
 */
export class Settler {
  readonly #options: SettlerOptions;
  #open: Settlement[] = [];
  #scheduled = false;
  #sending = 0;

  constructor(options: SettlerOptions) {
    this.#options = options;
  }

  /** Something is not answered yet. */
  get busy(): boolean {
    return this.#open.length > 0 || this.#sending > 0;
  }

  /** Something is sent at the end of this turn. */
  get scheduled(): boolean {
    return this.#scheduled;
  }

  add(settlement: Settlement): void {
    this.#open.push(settlement);
    if (this.#open.length >= settlementsPerMessage) this.#flush();
    if (this.#scheduled || this.#open.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#open.length > 0) this.#flush();
    });
  }

  /** Hands items back that have not become jobs. */
  async handBack(items: readonly LeasedItem[]): Promise<void> {
    this.#sending += 1;
    const texts = items.map(({ id, token }) => `{"id":"${id}","token":${token}}`);
    const reply = await this.#options.wire.settle('release', {
      texts,
      fetch: 0,
      onFault: this.#options.onFault,
    });
    if (!reply.ok) this.#options.onFault(reply.error);
    this.#sending -= 1;
    this.#options.onAnswered(0, []);
  }

  #flush(): void {
    const open = this.#open;
    this.#open = [];
    const messages = settlingOperations.flatMap((operation) =>
      messagesOf(open.filter((one) => one.operation === operation)).map((items) => ({ operation, items })),
    );
    for (const [index, { operation, items }] of messages.entries()) {
      const fetches = index === messages.length - 1 && operation !== 'release';
      void this.#send(operation, items, fetches ? this.#options.reserve() : 0);
    }
    this.#options.onSent();
  }

  async #send(
    operation: SettlingOperation,
    settlements: readonly Settlement[],
    reserved: number,
  ): Promise<void> {
    const { wire, onSettled, onAnswered, onFault } = this.#options;
    this.#sending += 1;
    const texts = settlements.map((one) => one.text);
    const reply = await wire.settle(operation, { texts, fetch: reserved, onFault });
    this.#sending -= 1;
    const isTooLarge = !reply.ok && reply.error.code === 'payload_too_large';
    if (isTooLarge && settlements.length > 1) {
      // More than this NATS takes at once, and nobody has seen it: in two, and each again where need be.
      const middle = Math.ceil(settlements.length / 2);
      void this.#send(operation, settlements.slice(0, middle), 0);
      void this.#send(operation, settlements.slice(middle), reserved);
      return;
    }
    if (!reply.ok && !isTooLarge) onFault(reply.error);
    for (const [index, settlement] of settlements.entries()) {
      if (reply.ok) onSettled(settlement, reply.value.items[index]?.error);
      else onSettled(settlement, isTooLarge ? reply.error : undefined);
    }
    onAnswered(reserved, reply.ok ? (reply.value.next ?? []) : []);
  }
}
