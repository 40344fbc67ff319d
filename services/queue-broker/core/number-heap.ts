const empty = new Float64Array(0);

/**
 * A binary min-heap of pairs (rank, value) in doubles. Entries are not removed when they lose their meaning: who takes
 * one out asks whether it still holds, which is cheaper than finding it. An empty one that was never used holds no memory.
 */
export class NumberHeap {
  #entries: Float64Array = empty;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Adds an entry. O(log n), O(1) when ranks come in growing order. */
  push(rank: number, value: number): void {
    if ((this.#length + 1) * 2 > this.#entries.length) this.#resize(Math.max(8, this.#entries.length * 2));
    let at = this.#length;
    this.#length += 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#rank(parent) <= rank) break;
      this.#copy(parent, at);
      at = parent;
    }
    this.#write(at, rank, value);
  }

  /** The smallest rank, or undefined. */
  get firstRank(): number | undefined {
    return this.#length === 0 ? undefined : this.#rank(0);
  }

  /** The value with the smallest rank, or undefined. */
  get firstValue(): number | undefined {
    return this.#length === 0 ? undefined : this.#entries[1];
  }

  /** Drops the first entry. O(log n). */
  shift(): void {
    if (this.#length === 0) return;
    this.#length -= 1;
    if (this.#length > 0) this.#sink(this.#rank(this.#length), this.#entries[this.#length * 2 + 1] ?? 0);
    if (this.#entries.length > 256 && this.#length * 8 < this.#entries.length)
      this.#resize(this.#entries.length / 2);
  }

  /** Drops all entries. */
  clear(): void {
    this.#length = 0;
    this.#entries = empty;
  }

  #sink(rank: number, value: number): void {
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= this.#length) break;
      if (child + 1 < this.#length && this.#rank(child + 1) < this.#rank(child)) child += 1;
      if (this.#rank(child) >= rank) break;
      this.#copy(child, at);
      at = child;
    }
    this.#write(at, rank, value);
  }

  #rank(index: number): number {
    return this.#entries[index * 2] ?? 0;
  }

  #copy(from: number, to: number): void {
    this.#write(to, this.#rank(from), this.#entries[from * 2 + 1] ?? 0);
  }

  #write(index: number, rank: number, value: number): void {
    this.#entries[index * 2] = rank;
    this.#entries[index * 2 + 1] = value;
  }

  #resize(length: number): void {
    const entries = new Float64Array(length);
    entries.set(this.#entries.subarray(0, this.#length * 2));
    this.#entries = entries;
  }
}
