const ways = 4;

/**
 * Remembers the hashes of the last so many that left, and forgets the older ones: buckets of four places, each with a
 * hash and the number of its leaving. A bucket that is full forgets its oldest early, so the memory is fixed.
 */
export class GhostSet {
  #hashes = new Uint32Array(64);
  #left = new Float64Array(64);
  #count = 0;

  /** @param capacity how many are to be remembered; grows the memory when it must, and then keeps what there is */
  add(hash: number, capacity: number): void {
    if (capacity > this.#hashes.length) this.#grow(capacity);
    this.#count += 1;
    this.#put(hash, this.#count);
  }

  /** Whether `hash` is among the last `capacity` that left; it is then forgotten. */
  take(hash: number, capacity: number): boolean {
    const first = this.#bucketOf(hash);
    for (let place = first; place < first + ways; place += 1) {
      const left = this.#left[place] ?? 0;
      if (left === 0 || this.#hashes[place] !== hash) continue;
      this.#left[place] = 0;
      return this.#count - left < capacity;
    }
    return false;
  }

  get bytes(): number {
    return this.#hashes.byteLength + this.#left.byteLength;
  }

  #put(hash: number, left: number): void {
    const first = this.#bucketOf(hash);
    let oldest = first;
    for (let place = first; place < first + ways; place += 1)
      if ((this.#left[place] ?? 0) < (this.#left[oldest] ?? 0)) oldest = place;
    this.#hashes[oldest] = hash;
    this.#left[oldest] = left;
  }

  #bucketOf(hash: number): number {
    return (hash & (this.#hashes.length / ways - 1)) * ways;
  }

  #grow(capacity: number): void {
    const [hashes, left] = [this.#hashes, this.#left];
    let length = hashes.length;
    while (length < capacity) length *= 2;
    this.#hashes = new Uint32Array(length);
    this.#left = new Float64Array(length);
    for (const [place, when] of left.entries()) if (when > 0) this.#put(hashes[place] ?? 0, when);
  }
}
