const rows = 4;
const countMax = 15;
/** After so many additions for each counter of a row all counts are halved, so that the past fades. */
const sampleFactor = 10;
const seeds = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f] as const;

/**
 * How often hashes were seen lately, about: a count-min sketch of counters up to 15, halved now and then.
 * Source: Cormode, Muthukrishnan, "An improved data stream summary", 2005; the ageing is TinyLFU's (Einziger,
 * Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM ToS, 2017).
 */
export class FrequencySketch {
  /** One byte a counter: four bits would be half the memory and twice the work. */
  #counts = new Uint8Array(rows * 64);
  #rowLength = 64;
  #additions = 0;

  /** Makes room for so many hashes; what was counted stays counted. */
  ensure(hashes: number): void {
    while (this.#rowLength < hashes) {
      const counts = new Uint8Array(2 * this.#counts.length);
      // A hash's new place is its old one, or that and the old length: both halves begin with the old counts.
      for (let row = 0; row < rows; row += 1) {
        const old = this.#counts.subarray(row * this.#rowLength, (row + 1) * this.#rowLength);
        counts.set(old, 2 * row * this.#rowLength);
        counts.set(old, (2 * row + 1) * this.#rowLength);
      }
      this.#counts = counts;
      this.#rowLength *= 2;
    }
  }

  add(hash: number): void {
    const least = this.count(hash);
    if (least === countMax) return;
    // Only the lowest ones rise: what shares a counter with others is overestimated less.
    for (let row = 0; row < rows; row += 1) {
      const place = this.#placeOf(hash, row);
      if (this.#counts[place] === least) this.#counts[place] = least + 1;
    }
    this.#additions += 1;
    if (this.#additions >= sampleFactor * this.#rowLength) this.#halve();
  }

  /** @returns an integer in [0, 15], never below the true count since it was last halved */
  count(hash: number): number {
    let least = countMax;
    for (let row = 0; row < rows; row += 1)
      least = Math.min(least, this.#counts[this.#placeOf(hash, row)] ?? 0);
    return least;
  }

  get bytes(): number {
    return this.#counts.length;
  }

  #placeOf(hash: number, row: number): number {
    const mixed = Math.imul(hash ^ (hash >>> 15), seeds[row] ?? 1);
    return row * this.#rowLength + ((mixed ^ (mixed >>> 16)) & (this.#rowLength - 1));
  }

  #halve(): void {
    for (let place = 0; place < this.#counts.length; place += 1)
      this.#counts[place] = (this.#counts[place] ?? 0) >>> 1;
    this.#additions >>>= 1;
  }
}
