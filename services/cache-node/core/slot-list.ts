import type { IntColumn } from './slot-column.ts';

/** The links that the lists of one policy share: a slot is in one of them at a time. 0: none; else a slot plus one. */
export interface Links {
  readonly older: IntColumn;
  readonly newer: IntColumn;
}

/** A doubly linked list of slots, by when they were added. Every verb is O(1). */
export class SlotList {
  readonly #older: IntColumn;
  readonly #newer: IntColumn;
  #oldest = 0;
  #newest = 0;

  constructor({ older, newer }: Links) {
    this.#older = older;
    this.#newer = newer;
  }

  /** Adds a slot that is in none of the lists, as the newest. */
  add(slot: number): void {
    this.#older.set(slot, this.#newest);
    this.#newer.set(slot, 0);
    if (this.#newest === 0) this.#oldest = slot + 1;
    else this.#newer.set(this.#newest - 1, slot + 1);
    this.#newest = slot + 1;
  }

  /** Takes out a slot that is in this list. */
  remove(slot: number): void {
    const older = this.#older.get(slot);
    const newer = this.#newer.get(slot);
    if (older === 0) this.#oldest = newer;
    else this.#newer.set(older - 1, newer);
    if (newer === 0) this.#newest = older;
    else this.#older.set(newer - 1, older);
  }

  /** Makes a slot of this list the newest. */
  renew(slot: number): void {
    if (slot + 1 === this.#newest) return;
    this.remove(slot);
    this.add(slot);
  }

  oldest(): number | undefined {
    return this.#oldest === 0 ? undefined : this.#oldest - 1;
  }

  /** From the oldest to the newest; the list must not change meanwhile. */
  *slots(): Iterable<number> {
    for (let at = this.#oldest; at !== 0; at = this.#newer.get(at - 1)) yield at - 1;
  }
}
