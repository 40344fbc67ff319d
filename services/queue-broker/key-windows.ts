import { NumberHeap } from './core/number-heap.ts';

/** Keys whose windows end in the same minute are kept together. */
const minuteMs = 60_000;

/** Which idempotency keys can be removed, for stores that have no order by time. */
export class KeyWindows {
  readonly #names = new Map<number, Set<string>>();
  readonly #minutes = new NumberHeap();

  /** Notes until when a key stands for its item; what was noted of it before stays. */
  add(name: string, until: number): void {
    const minute = Math.ceil(until / minuteMs);
    let names = this.#names.get(minute);
    if (names === undefined) {
      names = new Set();
      this.#names.set(minute, names);
      this.#minutes.push(minute, minute);
    }
    names.add(name);
  }

  /** Takes out keys whose noted window is over, at most a minute late. They may have a newer one by now. */
  takeEnded(nowMs: number, max: number): readonly string[] {
    const ended: string[] = [];
    for (;;) {
      const minute = this.#minutes.firstValue;
      if (minute === undefined || minute * minuteMs > nowMs) return ended;
      const names = this.#names.get(minute) ?? new Set();
      for (const name of names) {
        if (ended.length >= max) return ended;
        names.delete(name);
        ended.push(name);
      }
      this.#names.delete(minute);
      this.#minutes.shift();
    }
  }
}
