const partMin = 0.01;
const partMax = 0.8;
const firstStep = 0.0625;
/** How fast a step shrinks, and the change of the hit rate with which it begins anew. */
const stepDecay = 0.98;
const restartChange = 0.05;
const stepMin = 0.002;
/** Requests in one sample, for each entry that is held. */
const sampleFactor = 10;

/**
 * Finds the part of the cache that should be window: it goes on in a direction while the hit rate rises and turns when
 * it falls. Source: Einziger, Eytan, Friedman, Manes, "Adaptive Software Cache Management", Middleware 2018.
 */
export class WindowClimber {
  #part = partMin;
  #step = firstStep;
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
    const direction = change >= 0 ? Math.sign(this.#step) : -Math.sign(this.#step);
    const size = Math.abs(change) >= restartChange ? firstStep : Math.abs(this.#step) * stepDecay;
    if (size < stepMin) return;
    this.#step = direction * size;
    this.#part = Math.min(partMax, Math.max(partMin, this.#part + this.#step));
  }
}
