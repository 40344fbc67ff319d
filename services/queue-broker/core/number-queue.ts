/**
 * A FIFO of rows of `width` numbers in one growing ring of doubles: 8 bytes a number, no object an entry, so that
 * a million waiting items cost the garbage collector nothing.
 */
export class NumberQueue {
  readonly #width: number;
  #ring: Float64Array;
  #head = 0;
  #length = 0;

  constructor(width: number, capacity = 16) {
    this.#width = width;
    this.#ring = new Float64Array(width * capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Appends a row. Amortized O(1). */
  push(...row: readonly number[]): void {
    if ((this.#length + 1) * this.#width > this.#ring.length) this.#resize(2);
    const at = this.#offset(this.#length);
    for (let column = 0; column < this.#width; column += 1) this.#ring[at + column] = row[column] ?? 0;
    this.#length += 1;
  }

  /** A number of the first row, or undefined when the queue is empty. */
  first(column: number): number | undefined {
    return this.#length === 0 ? undefined : this.#ring[this.#head * this.#width + column];
  }

  /** Drops the first row. Amortized O(1); gives memory back when most of it is unused. */
  shift(): void {
    if (this.#length === 0) return;
    this.#head = (this.#head + 1) % this.#capacity();
    this.#length -= 1;
    if (this.#capacity() > 1_024 && this.#length * 4 < this.#capacity()) this.#resize(0.5);
  }

  /** Sorts the rows by one column, ascending. O(n) when they are in order already, else O(n log n). */
  sortBy(column: number): void {
    const rankOf = (index: number): number => this.#ring[this.#offset(index) + column] ?? 0;
    let sorted = true;
    for (let index = 1; index < this.#length && sorted; index += 1)
      sorted = rankOf(index - 1) <= rankOf(index);
    if (sorted) return;
    const indexes = Uint32Array.from({ length: this.#length }, (_, index) => index);
    indexes.sort((a, b) => rankOf(a) - rankOf(b));
    const ring = new Float64Array(this.#ring.length);
    indexes.forEach((from, to) => {
      const offset = this.#offset(from);
      ring.set(this.#ring.subarray(offset, offset + this.#width), to * this.#width);
    });
    this.#ring = ring;
    this.#head = 0;
  }

  #capacity(): number {
    return this.#ring.length / this.#width;
  }

  #offset(index: number): number {
    return ((this.#head + index) % this.#capacity()) * this.#width;
  }

  #resize(factor: number): void {
    const ring = new Float64Array(Math.ceil(this.#capacity() * factor) * this.#width);
    for (let index = 0; index < this.#length; index += 1) {
      const from = this.#offset(index);
      for (let column = 0; column < this.#width; column += 1) {
        ring[index * this.#width + column] = this.#ring[from + column] ?? 0;
      }
    }
    this.#ring = ring;
    this.#head = 0;
  }
}
