import { doubleColumn, intColumn } from './slot-column.ts';

/**
 * Slots by the time at which they are due: a binary heap that knows where each slot stands, so that a slot can be
 * moved or taken out in O(log n) and nothing stale is left behind, however often a sliding entry is used.
 * Source: Williams, "Algorithm 232: Heapsort", Communications of the ACM, 1964.
 */
export class ExpiryHeap {
  /** The heap: slots, the earliest first. */
  readonly #heap = intColumn();
  #length = 0;
  /** Where each slot stands in the heap, counted from 1; 0: it is not there. */
  readonly #places = intColumn();
  /** When each slot is due. */
  readonly #dueMs = doubleColumn();

  /** Puts `slot` at `dueMs`, from wherever it was; Infinity takes it out. */
  set(slot: number, dueMs: number): void {
    if (dueMs === Infinity) {
      this.remove(slot);
      return;
    }
    this.#dueMs.set(slot, dueMs);
    let place = this.#places.get(slot) - 1;
    if (place < 0) {
      place = this.#length;
      this.#length += 1;
      this.#stand(slot, place);
    }
    this.#settle(place);
  }

  remove(slot: number): void {
    const place = this.#places.get(slot) - 1;
    if (place < 0) return;
    this.#places.set(slot, 0);
    this.#length -= 1;
    if (place === this.#length) return;
    this.#stand(this.#heap.get(this.#length), place);
    this.#settle(place);
  }

  /** The slot that is due first. */
  earliest(): number | undefined {
    return this.#length === 0 ? undefined : this.#heap.get(0);
  }

  /** When `slot` is due; Infinity when it is not in the heap. */
  dueMs(slot: number): number {
    return this.#places.get(slot) === 0 ? Infinity : this.#dueMs.get(slot);
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    return this.#heap.bytes + this.#places.bytes + this.#dueMs.bytes;
  }

  /** Moves what stands at `place` up or down to where it belongs. */
  #settle(place: number): void {
    const slot = this.#heap.get(place);
    const dueMs = this.#dueMs.get(slot);
    let at = place;
    while (at > 0) {
      const parent = this.#heap.get((at - 1) >> 1);
      if (this.#dueMs.get(parent) <= dueMs) break;
      this.#stand(parent, at);
      at = (at - 1) >> 1;
    }
    for (let child = this.#earlierChild(at); child > 0; child = this.#earlierChild(at)) {
      const below = this.#heap.get(child);
      if (this.#dueMs.get(below) >= dueMs) break;
      this.#stand(below, at);
      at = child;
    }
    this.#stand(slot, at);
  }

  /** The place of the child that is due first; 0 when there is none. */
  #earlierChild(place: number): number {
    const left = 2 * place + 1;
    if (left >= this.#length) return 0;
    const right = left + 1;
    if (right === this.#length) return left;
    return this.#dueMs.get(this.#heap.get(right)) < this.#dueMs.get(this.#heap.get(left)) ? right : left;
  }

  #stand(slot: number, place: number): void {
    this.#heap.set(place, slot);
    this.#places.set(slot, place + 1);
  }
}
