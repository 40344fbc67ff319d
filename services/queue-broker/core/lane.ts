import type { Item } from './item.ts';
import { NumberHeap } from './number-heap.ts';
import { NumberQueue } from './number-queue.ts';

/** Finds an item; undefined when it is gone. */
export type ItemLookup = (order: number) => Item | undefined;

const columns = { order: 0, readyOrder: 1 } as const;

/**
 * The ready items of one band that stand in one line: those of one group, or all that have none. First in, first out;
 * sixteen bytes an item. Entries are not removed when an item leaves from the middle: one that no longer holds is
 * dropped when it comes to the head.
 */
export class Lane {
  readonly band: number;
  readonly group: string | undefined;
  #count = 0;
  /** Neighbours in the ring of lanes, while it stands there. */
  previous: Lane | undefined;
  next: Lane | undefined;
  /** (order, readyOrder), in the order in which they became ready. */
  readonly #entries = new NumberQueue(2);
  /** Handed back, by their old place. */
  #returned: NumberHeap | undefined;
  #head: Item | undefined;

  constructor(band: number, group: string | undefined) {
    this.band = band;
    this.group = group;
  }

  /** Ready items of the lane. */
  get count(): number {
    return this.#count;
  }

  /** Appends an item that has just become ready. */
  add(item: Item): void {
    this.#count += 1;
    this.#entries.push(item.order, item.readyOrder);
  }

  /** Puts an item where its `readyOrder` belongs. */
  putBack(item: Item): void {
    this.#count += 1;
    this.#returned ??= new NumberHeap();
    this.#returned.push(item.readyOrder, item.order);
    this.#head = undefined;
  }

  /** Must be called when a ready item leaves. With the last one all entries go that do not hold any more. */
  left(item: Item): void {
    this.changed(item);
    this.#count -= 1;
    if (this.#count > 0) return;
    this.#entries.clear();
    this.#returned = undefined;
  }

  /** Must be called when a ready item changes, so that a remembered head is looked up again. */
  changed(item: Item): void {
    if (this.#head?.order === item.order) this.#head = undefined;
  }

  /** The item that is first in this lane, or undefined. Amortized O(1). */
  head(lookup: ItemLookup): Item | undefined {
    if (this.#head !== undefined) return this.#head;
    const first = this.#firstEntry(lookup);
    const returned = this.#returned === undefined ? undefined : this.#firstReturned(this.#returned, lookup);
    if (first === undefined || (returned !== undefined && returned.readyOrder < first.readyOrder))
      this.#head = returned;
    else this.#head = first;
    return this.#head;
  }

  /** The smallest `readyOrder` of its entries, of which some may not hold any more; undefined when there is none. */
  get firstRank(): number | undefined {
    const first = this.#entries.first(columns.readyOrder);
    const returned = this.#returned?.firstRank;
    if (first === undefined || returned === undefined) return first ?? returned;
    return Math.min(first, returned);
  }

  /** Brings entries that were added in another order into the order of readiness. */
  sort(): void {
    this.#entries.sortBy(columns.readyOrder);
  }

  #firstEntry(lookup: ItemLookup): Item | undefined {
    for (;;) {
      const order = this.#entries.first(columns.order);
      if (order === undefined) return undefined;
      const item = lookup(order);
      if (this.#holds(item, this.#entries.first(columns.readyOrder))) return item;
      this.#entries.shift();
    }
  }

  #firstReturned(returned: NumberHeap, lookup: ItemLookup): Item | undefined {
    for (;;) {
      const order = returned.firstValue;
      if (order === undefined) return undefined;
      const item = lookup(order);
      if (this.#holds(item, returned.firstRank)) return item;
      returned.shift();
    }
  }

  #holds(item: Item | undefined, readyOrder: number | undefined): item is Item {
    return (
      item !== undefined &&
      item.state === 'pending' &&
      item.readyOrder === readyOrder &&
      item.band === this.band &&
      item.group === this.group
    );
  }
}
