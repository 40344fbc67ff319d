import { ExpiryHeap } from './expiry-heap.ts';

/** Things that are due at a time, by a number that each gets. Adding, taking and cancelling are O(log n). */
export class Timers<Due> {
  readonly #heap = new ExpiryHeap();
  readonly #due: (Due | undefined)[] = [];
  readonly #free: number[] = [];

  /** When the next one is due; Infinity when there is none. */
  get nextMs(): number {
    const earliest = this.#heap.earliest();
    return earliest === undefined ? Infinity : this.#heap.dueMs(earliest);
  }

  add(dueMs: number, due: Due): number {
    const timer = this.#free.pop() ?? this.#due.length;
    this.#due[timer] = due;
    this.#heap.set(timer, dueMs);
    return timer;
  }

  /** One that is due at `nowMs` or was before; it is then gone. */
  take(nowMs: number): Due | undefined {
    const timer = this.#heap.earliest();
    if (timer === undefined || this.#heap.dueMs(timer) > nowMs) return undefined;
    const due = this.#due[timer];
    this.cancel(timer);
    return due;
  }

  /** Takes out one that is not taken yet; a number that is free already changes nothing. */
  cancel(timer: number): void {
    if (this.#due[timer] === undefined) return;
    this.#due[timer] = undefined;
    this.#heap.remove(timer);
    this.#free.push(timer);
  }
}
