import { type Item, wakeAt } from './item.ts';
import { NumberHeap } from './number-heap.ts';

/**
 * When time itself will change an item: due delays and retries, leases that run out, waiting items that grow too old.
 * Entries are not removed when an item moves on: one that no longer holds is dropped when its moment comes.
 */
export class WakeIndex {
  /** (time, order). A lease's order is negative: most leases end before their time, and that is then seen cheaply. */
  readonly #entries = new NumberHeap();

  /** Notes the moment at which `item`, as it is now, will change. @param before what it was, if it was known */
  add(item: Item, before?: Item): void {
    const at = wakeAt(item);
    if (at === undefined) return;
    if (item.state === 'processing') return this.#entries.push(at, -item.order);
    // A waiting item whose moment is put off, which debounce may do without end: its entry is put off when it comes up.
    if (before?.state === item.state && (wakeAt(before) ?? Number.POSITIVE_INFINITY) <= at) return;
    this.#entries.push(at, item.order);
  }

  /** The next moment, or undefined. May be early, never late. */
  get nextAt(): number | undefined {
    return this.#entries.firstRank;
  }

  /**
   * Takes out the items that change at `nowMs`, at most `max` of them.
   * @param find   an item by its order
   * @param leased the same, for items in processing alone: reads no row
   */
  take(
    nowMs: number,
    max: number,
    find: (order: number) => Item | undefined,
    leased: (order: number) => Item | undefined,
  ): readonly Item[] {
    // By order: an item may have two entries for one moment, such as a scheduled one whose priority was changed.
    const woken = new Map<number, Item>();
    while (woken.size < max) {
      const at = this.#entries.firstRank;
      const order = this.#entries.firstValue;
      if (at === undefined || order === undefined || at > nowMs) break;
      this.#entries.shift();
      const item = order < 0 ? leased(-order) : find(order);
      const changesAt = item === undefined ? undefined : wakeAt(item);
      // An entry is stale when the item has moved on; its new moment has an entry of its own.
      if (item === undefined || changesAt === undefined) continue;
      if (changesAt === at) woken.set(item.order, item);
      else if (changesAt > at && item.state !== 'processing') this.#entries.push(changesAt, order);
    }
    return [...woken.values()];
  }
}
