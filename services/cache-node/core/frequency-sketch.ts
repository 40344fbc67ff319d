const rows = 4;
const countMax = 15;
/** Counters in a row for each hash: with fewer of them hashes are taken for one another too often. */
const spread = 4;
/** After so many additions for each hash all counts are halved, so that the past fades. */
const sampleFactor = 10;
const seeds = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f] as const;

/**
 * How often hashes were seen lately, about: a count-min sketch of counters up to 15, halved now and then.
 * Source: Cormode, Muthukrishnan, "An improved data stream summary", 2005; the ageing is TinyLFU's (Einziger,
 * Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM ToS, 2017).
 */
export class FrequencySketch {
  /** Two counters of four bits to a byte; the rows one behind the other. */
  #counts = new Uint8Array((rows * 64) / 2);
  #rowLength = 64;
  #additions = 0;

  /** Makes room for so many hashes; what was counted stays counted. */
  ensure(hashes: number): void {
    while (this.#rowLength < spread * hashes) {
      const counts = new Uint8Array(2 * this.#counts.length);
      // A hash's new place is its old one, or that and the old length: both halves begin with the old counts.
      for (let row = 0; row < rows; row += 1) {
        const rowBytes = this.#rowLength / 2;
        const old = this.#counts.subarray(row * rowBytes, (row + 1) * rowBytes);
        counts.set(old, 2 * row * rowBytes);
        counts.set(old, (2 * row + 1) * rowBytes);
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
      if (this.#at(place) === least)
        this.#counts[place >>> 1] = (this.#counts[place >>> 1] ?? 0) + (1 << ((place & 1) * 4));
    }
    this.#additions += 1;
    if (this.#additions * spread >= sampleFactor * this.#rowLength) this.#halve();
  }

  /** @returns an integer in [0, 15], never below the true count since it was last halved */
  count(hash: number): number {
    let least = countMax;
    for (let row = 0; row < rows; row += 1) least = Math.min(least, this.#at(this.#placeOf(hash, row)));
    return least;
  }

  get bytes(): number {
    return this.#counts.length;
  }

  #at(place: number): number {
    return ((this.#counts[place >>> 1] ?? 0) >>> ((place & 1) * 4)) & countMax;
  }

  #placeOf(hash: number, row: number): number {
    const mixed = Math.imul(hash ^ (hash >>> 15), seeds[row] ?? 1);
    return row * this.#rowLength + ((mixed ^ (mixed >>> 16)) & (this.#rowLength - 1));
  }

  #halve(): void {
    for (let place = 0; place < this.#counts.length; place += 1)
      this.#counts[place] = ((this.#counts[place] ?? 0) >>> 1) & 0x77;
    this.#additions >>>= 1;
  }
}
