const empty = new Float64Array(0);
const rowsMin = 4;
/** Room of this many rows is kept however few of them are used. */
const rowsKept = 64;

/**
 * A FIFO of rows of up to five numbers in one growing ring of doubles: 8 bytes a number, no object an entry, so that
 * a million waiting items cost the garbage collector nothing. An empty one that was never used holds no memory.
 */
export class NumberQueue {
  readonly #width: number;
  #ring: Float64Array = empty;
  /** Rows that there is room for: a power of two, so that places wrap around by a mask. */
  #room = 0;
  #head = 0;
  #length = 0;

  constructor(width: number) {
    this.#width = width;
  }

  get length(): number {
    return this.#length;
  }

  /** Appends a row. Amortized O(1). */
  push(first: number, second = 0, third = 0, fourth = 0, fifth = 0): void {
    if (this.#length === this.#room) this.#resize(Math.max(rowsMin, this.#room * 2));
    const width = this.#width;
    const ring = this.#ring;
    const at = this.#offset(this.#length);
    ring[at] = first;
    if (width > 1) ring[at + 1] = second;
    if (width > 2) ring[at + 2] = third;
    if (width > 3) ring[at + 3] = fourth;
    if (width > 4) ring[at + 4] = fifth;
    this.#length += 1;
  }

  /** A number of the first row, or undefined when the queue is empty. */
  first(column: number): number | undefined {
    return this.#length === 0 ? undefined : this.#ring[this.#head * this.#width + column];
  }

  /** A number of the last row, or undefined when the queue is empty. */
  last(column: number): number | undefined {
    return this.#length === 0 ? undefined : this.at(this.#length - 1, column);
  }

  /** A number of the row at `index`, counted from the first; the row must be there. */
  at(index: number, column: number): number {
    return this.#ring[this.#offset(index) + column] ?? 0;
  }

  /** Adds to a number of the last row, which must be there. */
  addToLast(column: number, amount: number): void {
    const at = this.#offset(this.#length - 1) + column;
    this.#ring[at] = (this.#ring[at] ?? 0) + amount;
  }

  /** Drops the first row. Amortized O(1); gives memory back when most of it is unused. */
  shift(): void {
    if (this.#length === 0) return;
    this.#head = (this.#head + 1) & (this.#room - 1);
    this.#length -= 1;
    if (this.#room > rowsKept && this.#length * 4 < this.#room) this.#resize(this.#room / 2);
  }

  /** Drops all rows. O(1); gives memory back. */
  clear(): void {
    this.#head = 0;
    this.#length = 0;
    if (this.#room <= rowsKept) return;
    this.#ring = empty;
    this.#room = 0;
  }

  /** Sorts the rows by one column, ascending. O(n) when they are in order already, else O(n log n). */
  sortBy(column: number): void {
    let sorted = true;
    for (let index = 1; index < this.#length && sorted; index += 1)
      sorted = this.at(index - 1, column) <= this.at(index, column);
    if (sorted) return;
    const indexes = Uint32Array.from({ length: this.#length }, (_, index) => index);
    indexes.sort((a, b) => this.at(a, column) - this.at(b, column));
    const ring = new Float64Array(this.#ring.length);
    indexes.forEach((from, to) => {
      const offset = this.#offset(from);
      ring.set(this.#ring.subarray(offset, offset + this.#width), to * this.#width);
    });
    this.#ring = ring;
    this.#head = 0;
  }

  #offset(index: number): number {
    return ((this.#head + index) & (this.#room - 1)) * this.#width;
  }

  #resize(room: number): void {
    const ring = new Float64Array(room * this.#width);
    const unwrapped = Math.min(this.#length, this.#room - this.#head);
    const from = this.#head * this.#width;
    ring.set(this.#ring.subarray(from, from + unwrapped * this.#width), 0);
    ring.set(this.#ring.subarray(0, (this.#length - unwrapped) * this.#width), unwrapped * this.#width);
    this.#ring = ring;
    this.#room = room;
    this.#head = 0;
  }
}
