import type { Series } from './series.ts';

/** Series, each once, in the order of their first coming. Their numbers are dense, so that being in it is one bit. */
export class SeriesSet {
  #isIn = new Uint8Array(1_024);
  #series: Series[] = [];

  add(series: Series): void {
    if (series.id >= this.#isIn.length) {
      const grown = new Uint8Array(Math.max(this.#isIn.length * 2, series.id + 1));
      grown.set(this.#isIn);
      this.#isIn = grown;
    }
    if (this.#isIn[series.id] === 1) return;
    this.#isIn[series.id] = 1;
    this.#series.push(series);
  }

  /** All of them; the set is empty then. */
  take(): readonly Series[] {
    const taken = this.#series;
    for (const { id } of taken) this.#isIn[id] = 0;
    this.#series = [];
    return taken;
  }
}
