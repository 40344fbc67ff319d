import type { EvictionPolicy } from './eviction-policy.ts';
import { intColumn } from './slot-column.ts';
import { SlotList } from './slot-list.ts';

/** Least recently used first, exactly. */
export class LruPolicy implements EvictionPolicy {
  readonly #links = { older: intColumn(), newer: intColumn() };
  readonly #list = new SlotList(this.#links);

  add(slot: number): void {
    this.#list.add(slot);
  }

  use(slot: number): void {
    this.#list.renew(slot);
  }

  reweigh(): void {
    // Weight plays no part.
  }

  remove(slot: number): void {
    this.#list.remove(slot);
  }

  victim(): number | undefined {
    return this.#list.oldest();
  }

  evict(slot: number): void {
    this.#list.remove(slot);
  }

  slots(): Iterable<number> {
    return this.#list.slots();
  }

  get bytes(): number {
    return this.#links.older.bytes + this.#links.newer.bytes;
  }
}
