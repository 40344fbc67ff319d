import type { Item } from './item.ts';
import { NumberQueue } from './number-queue.ts';
import type { Keep } from './queue-settings.ts';

const columns = { order: 0, finishedAt: 1, place: 2 } as const;

export interface FinishedEntry {
  readonly order: number;
  readonly place: number;
}

/** Finished items in the order in which they finished. Entries of items that left otherwise go when they come up. */
export class Finished {
  readonly #entries = new NumberQueue(3);
  #count = 0;
  #bytes = 0;

  enter(item: Item): void {
    this.#entries.push(item.order, item.finishedAt ?? 0, item.readyOrder);
    this.#count += 1;
    this.#bytes += item.payloadBytes;
  }

  leave(item: Item): void {
    this.#count -= 1;
    this.#bytes -= item.payloadBytes;
    if (this.#count === 0) this.#entries.clear();
  }

  sort(): void {
    this.#entries.sortBy(columns.place);
  }

  /** True when the first entry is beyond what is kept. */
  isOver(keep: Keep, nowMs: number): boolean {
    const finishedAt = this.#entries.first(columns.finishedAt);
    if (finishedAt === undefined) return false;
    return (
      finishedAt + (keep.ageMs ?? Number.POSITIVE_INFINITY) <= nowMs ||
      this.#count > (keep.count ?? Number.POSITIVE_INFINITY) ||
      this.#bytes > (keep.bytes ?? Number.POSITIVE_INFINITY)
    );
  }

  /** Takes out the first entry if it is beyond what is kept. */
  takeOver(keep: Keep, nowMs: number): FinishedEntry | undefined {
    if (!this.isOver(keep, nowMs)) return undefined;
    const order = this.#entries.first(columns.order) ?? 0;
    const place = this.#entries.first(columns.place) ?? 0;
    this.#entries.shift();
    return { order, place };
  }
}
