import type { Item } from './item.ts';
import { NumberHeap } from './number-heap.ts';
import { NumberQueue } from './number-queue.ts';

/** Finds an item; undefined when it is gone. */
export type ItemLookup = (order: number) => Item | undefined;

const columns = { order: 0, readyOrder: 1 } as const;

/**
 * The ready items of one queue: four bands, first in first out within each. Sixteen bytes an item.
 * Entries are not removed when an item leaves by another way than being claimed (cancel, expiry, reprioritize):
 * an entry that no longer holds is dropped when it comes to the head.
 */
export class ReadyBands {
  readonly #bands: readonly Band[] = [new Band(), new Band(), new Band(), new Band()];

  /** Appends an item that has just become ready. */
  add(item: Item): void {
    this.#bands[item.band]?.entries.push(item.order, item.readyOrder);
  }

  /** Brings entries that were added in another order into the order of readiness. */
  sort(): void {
    for (const band of this.#bands) band.entries.sortBy(columns.readyOrder);
  }

  /** Puts an item that was handed back where it was. */
  putBack(item: Item): void {
    const band = this.#bands[item.band];
    if (band === undefined) return;
    band.returned.push(item.readyOrder, item.order);
    band.head = undefined;
  }

  /** Must be called when a ready item changes, so that a remembered head is looked up again. */
  changed(item: Item): void {
    const band = this.#bands[item.band];
    if (band?.head?.order === item.order) band.head = undefined;
  }

  /**
   * The item to hand out next, or undefined when none is ready. Strict order with ageing: the head of a band counts
   * as one band higher for every `agingAfterMs` that it has waited, so that nothing starves; between equals the one
   * that has waited longer goes first. Judged at the heads alone: O(1) amortized, however many wait.
   */
  next(lookup: ItemLookup, nowMs: number, agingAfterMs: number): Item | undefined {
    let best: Item | undefined;
    let bestBand = Number.POSITIVE_INFINITY;
    for (const band of this.#bands) {
      const head = headOf(band, lookup);
      if (head === undefined) continue;
      const aged = Math.max(0, head.band - Math.floor((nowMs - head.readyAt) / agingAfterMs));
      const older = best !== undefined && aged === bestBand && head.readyAt < best.readyAt;
      if (aged < bestBand || older) {
        best = head;
        bestBand = aged;
      }
    }
    return best;
  }

  /** When the item that has waited longest became ready, or undefined. */
  oldestReadyAt(lookup: ItemLookup): number | undefined {
    let oldest: number | undefined;
    for (const band of this.#bands) {
      const head = headOf(band, lookup);
      if (head !== undefined && (oldest === undefined || head.readyAt < oldest)) oldest = head.readyAt;
    }
    return oldest;
  }
}

class Band {
  /** (order, readyOrder), in the order in which they became ready. */
  readonly entries = new NumberQueue(2);
  /** Handed back, by their old place. */
  readonly returned = new NumberHeap();
  head: Item | undefined;
}

function headOf(band: Band, lookup: ItemLookup): Item | undefined {
  if (band.head !== undefined) return band.head;
  const first = firstEntry(band, lookup);
  const returned = firstReturned(band, lookup);
  if (first === undefined || (returned !== undefined && returned.readyOrder < first.readyOrder))
    band.head = returned;
  else band.head = first;
  return band.head;
}

function firstEntry(band: Band, lookup: ItemLookup): Item | undefined {
  for (;;) {
    const order = band.entries.first(columns.order);
    if (order === undefined) return undefined;
    const item = lookup(order);
    if (holds(item, band.entries.first(columns.readyOrder))) return item;
    band.entries.shift();
  }
}

function firstReturned(band: Band, lookup: ItemLookup): Item | undefined {
  for (;;) {
    const order = band.returned.firstValue;
    if (order === undefined) return undefined;
    const item = lookup(order);
    if (holds(item, band.returned.firstRank)) return item;
    band.returned.shift();
  }
}

const holds = (item: Item | undefined, readyOrder: number | undefined): item is Item =>
  item !== undefined && item.state === 'pending' && item.readyOrder === readyOrder;
