import type { Clock } from './clock.ts';

interface Timer {
  readonly atMs: number;
  /** Timers of one moment run in the order in which they were set. */
  readonly number: number;
  readonly action: () => void;
}

/** Time that stands still until somebody lets it pass. */
export class ManualClock implements Clock {
  readonly #startMs: number;
  #elapsedMs = 0;
  #newest = 0;
  /** By their moments, then by their numbers. */
  readonly #timers: Timer[] = [];

  /** @param startMs wall time of the beginning, epoch milliseconds */
  constructor(startMs: number) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** Timers that have not run. */
  get count(): number {
    return this.#timers.length;
  }

  /** Milliseconds until the next timer runs; undefined when there is none. */
  get nextInMs(): number | undefined {
    const [next] = this.#timers;
    return next === undefined ? undefined : next.atMs - this.#elapsedMs;
  }

  after(delayMs: number, action: () => void): () => void {
    this.#newest += 1;
    const timer = {
      atMs: this.#elapsedMs + Math.max(0, Math.ceil(delayMs)),
      number: this.#newest,
      action,
    };
    this.#timers.splice(this.#placeOf(timer), 0, timer);
    return () => {
      const place = this.#placeOf(timer);
      if (this.#timers[place] === timer) this.#timers.splice(place, 1);
    };
  }

  /**
   * Lets time pass: every timer within it runs at its moment.
   * @param settle called before the first timer and after each one: what it sets off is to be finished before the next
   */
  async advance(ms: number, settle: () => Promise<void>): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    await settle();
    for (;;) {
      const [timer] = this.#timers;
      if (timer === undefined || timer.atMs > untilMs) break;
      this.#timers.shift();
      // Somebody else may let time pass, too.
      this.#elapsedMs = Math.max(this.#elapsedMs, timer.atMs);
      timer.action();
      await settle();
    }
    this.#elapsedMs = Math.max(this.#elapsedMs, untilMs);
  }

  /** Forgets every timer. */
  clear(): void {
    this.#timers.length = 0;
  }

  /** Where a timer stands, or belongs. */
  #placeOf({ atMs, number }: Timer): number {
    let from = 0;
    let to = this.#timers.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const there = this.#timers[middle];
      if (there === undefined || there.atMs > atMs || (there.atMs === atMs && there.number >= number))
        to = middle;
      else from = middle + 1;
    }
    return from;
  }
}
