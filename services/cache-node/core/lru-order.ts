const none = -1;

/**
 * Slots by their last use, exactly: a doubly linked list whose links are typed arrays, so that a million entries are
 * two arrays for the garbage collector and not a million nodes. Every verb is O(1).
 */
export class LruOrder {
  #older = new Int32Array(16).fill(none);
  #newer = new Int32Array(16).fill(none);
  #oldest = none;
  #newest = none;

  /** Makes `slot`, which must not be in the order, the most recently used. */
  add(slot: number): void {
    if (slot >= this.#older.length) this.#grow(slot);
    this.#older[slot] = this.#newest;
    this.#newer[slot] = none;
    if (this.#newest === none) this.#oldest = slot;
    else this.#newer[this.#newest] = slot;
    this.#newest = slot;
  }

  remove(slot: number): void {
    const older = this.#older[slot] ?? none;
    const newer = this.#newer[slot] ?? none;
    if (older === none) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === none) this.#newest = older;
    else this.#older[newer] = older;
  }

  use(slot: number): void {
    if (slot === this.#newest) return;
    this.remove(slot);
    this.add(slot);
  }

  /** The slot that was used longest ago. */
  oldest(): number | undefined {
    return this.#oldest === none ? undefined : this.#oldest;
  }

  #grow(slot: number): void {
    const length = Math.max(2 * this.#older.length, slot + 1);
    const older = new Int32Array(length).fill(none);
    const newer = new Int32Array(length).fill(none);
    older.set(this.#older);
    newer.set(this.#newer);
    this.#older = older;
    this.#newer = newer;
  }
}
