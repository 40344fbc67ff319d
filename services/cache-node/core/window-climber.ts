const partMin = 0.01;
const partMax = 0.8;
const stepPart = 0.0625;
/** Requests in one sample, for each entry that is held. */
const sampleFactor = 10;
/** Samples at the smallest window before a larger one is tried. */
const restMax = 10;
/** A change of the hit rate by fewer of its standard deviations than this may be chance. */
const deviations = 3;

/**
 * Finds the part of the cache that should be window: it goes on in a direction while the hit rate rises and turns when
 * it falls. Unlike in the paper a change that may be chance says nothing, and the window then shrinks: on traces
 * without recency the climb would otherwise be a random walk, which cost up to three points of the hit rate.
 * Source: Einziger, Eytan, Friedman, Manes, "Adaptive Software Cache Management", Middleware 2018.
 */
export class WindowClimber {
  #part = partMin;
  #direction = 1;
  #rest = 0;
  #hits = 0;
  #requests = 0;
  #lastRate: number | undefined;

  /** In [0.01, 0.8]. */
  get windowPart(): number {
    return this.#part;
  }

  hit(entries: number): void {
    this.#hits += 1;
    this.#asked(entries);
  }

  missed(entries: number): void {
    this.#asked(entries);
  }

  #asked(entries: number): void {
    this.#requests += 1;
    if (this.#requests < sampleFactor * Math.max(64, entries)) return;
    this.#climb(this.#hits / this.#requests);
    this.#hits = 0;
    this.#requests = 0;
  }

  #climb(rate: number): void {
    const change = rate - (this.#lastRate ?? rate);
    this.#lastRate = rate;
    const chance = deviations * Math.sqrt((2 * rate * (1 - rate)) / this.#requests);
    if (Math.abs(change) <= chance) this.#direction = -1;
    else if (change < 0) this.#direction = -this.#direction;
    if (this.#part === partMin) this.#rest += 1;
    if (this.#part === partMin && this.#rest > restMax) {
      this.#rest = 0;
      this.#direction = 1;
    }
    this.#part = Math.min(partMax, Math.max(partMin, this.#part + this.#direction * stepPart));
  }
}
