const bitsPerChunk = 1_024;
const wordsPerChunk = bitsPerChunk / 32;

/**
 * A set of items' orders, as bits in chunks: an eighth of a byte an item where orders lie close together, and walked
 * in ascending order from any place. What lists are made of, without a row of their own for every state.
 */
export class OrderSet {
  readonly #chunks = new Map<number, Uint32Array>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** O(1). */
  add(order: number): void {
    const number = Math.floor(order / bitsPerChunk);
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = new Uint32Array(wordsPerChunk);
      this.#chunks.set(number, chunk);
    }
    const bit = order % bitsPerChunk;
    const word = chunk[bit >> 5] ?? 0;
    const mask = 1 << (bit & 31);
    if ((word & mask) !== 0) return;
    chunk[bit >> 5] = word | mask;
    this.#size += 1;
  }

  /** O(1); the chunk goes with its last member. */
  delete(order: number): void {
    const number = Math.floor(order / bitsPerChunk);
    const chunk = this.#chunks.get(number);
    if (chunk === undefined) return;
    const bit = order % bitsPerChunk;
    const word = chunk[bit >> 5] ?? 0;
    const mask = 1 << (bit & 31);
    if ((word & mask) === 0) return;
    chunk[bit >> 5] = word & ~mask;
    this.#size -= 1;
    if (chunk[bit >> 5] === 0 && chunk.every((one) => one === 0)) this.#chunks.delete(number);
  }

  has(order: number): boolean {
    const bit = order % bitsPerChunk;
    const word = this.#chunks.get(Math.floor(order / bitsPerChunk))?.[bit >> 5] ?? 0;
    return (word & (1 << (bit & 31))) !== 0;
  }

  /** The members above `after`, ascending. Begins in O(chunks log chunks). The set must not change meanwhile. */
  *above(after: number): Iterable<number> {
    const first = Math.floor((after + 1) / bitsPerChunk);
    const numbers = [...this.#chunks.keys()].filter((number) => number >= first).sort((a, b) => a - b);
    for (const number of numbers) {
      const chunk = this.#chunks.get(number);
      if (chunk === undefined) continue;
      for (const [index, word] of chunk.entries()) {
        for (let rest = word; rest !== 0; rest &= rest - 1) {
          const order = number * bitsPerChunk + index * 32 + (31 - Math.clz32(rest & -rest));
          if (order > after) yield order;
        }
      }
    }
  }
}
