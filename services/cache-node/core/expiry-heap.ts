const absent = -1;

/**
 * Slots by the time at which they are due: a binary heap that knows where each slot stands, so that a slot can be
 * moved or taken out in O(log n) and nothing stale is left behind, however often a sliding entry is used.
 * Source: Williams, "Algorithm 232: Heapsort", Communications of the ACM, 1964.
 */
export class ExpiryHeap {
  /** The heap: slots, the earliest first. */
  #heap = new Int32Array(16);
  #length = 0;
  /** Where each slot stands in the heap. */
  #places = new Int32Array(16).fill(absent);
  /** When each slot is due. */
  #dueMs = new Float64Array(16);

  /** Puts `slot` at `dueMs`, from wherever it was; Infinity takes it out. */
  set(slot: number, dueMs: number): void {
    if (dueMs === Infinity) {
      this.remove(slot);
      return;
    }
    if (slot >= this.#places.length) this.#growSlots(slot);
    this.#dueMs[slot] = dueMs;
    let place = this.#placeOf(slot);
    if (place === absent) {
      place = this.#length;
      this.#length += 1;
      if (place >= this.#heap.length) this.#growHeap();
      this.#stand(slot, place);
    }
    this.#settle(place);
  }

  remove(slot: number): void {
    const place = this.#placeOf(slot);
    if (place === absent) return;
    this.#places[slot] = absent;
    this.#length -= 1;
    if (place === this.#length) return;
    this.#stand(this.#at(this.#length), place);
    this.#settle(place);
  }

  /** The slot that is due first. */
  earliest(): number | undefined {
    return this.#length === 0 ? undefined : this.#heap[0];
  }

  /** Moves what stands at `place` up or down to where it belongs. */
  #settle(place: number): void {
    const slot = this.#at(place);
    const dueMs = this.#due(slot);
    let at = place;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#due(this.#at(parent)) <= dueMs) break;
      this.#stand(this.#at(parent), at);
      at = parent;
    }
    for (let child = this.#earlierChild(at); child !== absent; child = this.#earlierChild(at)) {
      if (this.#due(this.#at(child)) >= dueMs) break;
      this.#stand(this.#at(child), at);
      at = child;
    }
    this.#stand(slot, at);
  }

  #earlierChild(place: number): number {
    const left = 2 * place + 1;
    if (left >= this.#length) return absent;
    const right = left + 1;
    if (right < this.#length && this.#due(this.#at(right)) < this.#due(this.#at(left))) return right;
    return left;
  }

  #stand(slot: number, place: number): void {
    this.#heap[place] = slot;
    this.#places[slot] = place;
  }

  #at(place: number): number {
    return this.#heap[place] ?? absent;
  }

  #due(slot: number): number {
    return this.#dueMs[slot] ?? Infinity;
  }

  #placeOf(slot: number): number {
    return this.#places[slot] ?? absent;
  }

  #growHeap(): void {
    const heap = new Int32Array(2 * this.#heap.length);
    heap.set(this.#heap);
    this.#heap = heap;
  }

  #growSlots(slot: number): void {
    const length = Math.max(2 * this.#places.length, slot + 1);
    const places = new Int32Array(length).fill(absent);
    const dueMs = new Float64Array(length);
    places.set(this.#places);
    dueMs.set(this.#dueMs);
    this.#places = places;
    this.#dueMs = dueMs;
  }
}
