import type { Item } from './item.ts';

/** An item that somebody waits for, as it ended. */
export interface Ended {
  readonly order: number;
  /** Undefined when it was removed before it came to an end. */
  readonly final: { readonly item: Item; readonly payload: Uint8Array | undefined } | undefined;
}

/**
 * Which items somebody waits for. An item may end and, where nothing is kept, be gone within one fact: so how it ended
 * is noted here, before it is swept. Not durable: who waits asks again.
 */
export class EndWatch {
  readonly #orders = new Set<number>();
  #ended: Ended[] = [];

  watch(order: number): void {
    this.#orders.add(order);
  }

  unwatch(order: number): void {
    this.#orders.delete(order);
  }

  /** O(1), and next to nothing while nobody waits. */
  watches(order: number): boolean {
    return this.#orders.size > 0 && this.#orders.has(order);
  }

  /** An item that is watched has come to its end. */
  ended(item: Item, payload: Uint8Array | undefined): void {
    this.#take({ order: item.order, final: { item, payload } });
  }

  /** An item that is watched is gone; when it had ended before, nobody waits for it any more. */
  removed(order: number): void {
    this.#take({ order, final: undefined });
  }

  /** What has ended since the last call, in order, each item once. */
  take(): readonly Ended[] {
    if (this.#ended.length === 0) return none;
    const ended = this.#ended;
    this.#ended = [];
    return ended;
  }

  #take(ended: Ended): void {
    this.#orders.delete(ended.order);
    this.#ended.push(ended);
  }
}

const none: readonly Ended[] = [];
