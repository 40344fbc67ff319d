import { NumberHeap } from './number-heap.ts';

/**
 * When time alone lets a queue at a limit hand out more. Noted by a dequeue that was turned away, so that whoever
 * waits is served at that moment; queues that nobody asks cost nothing.
 */
export class CapacityIndex {
  /** (time, number that stands for the queue). */
  readonly #entries = new NumberHeap();
  readonly #noted = new Map<string, { readonly number: number; readonly at: number }>();
  readonly #queues = new Map<number, string>();
  #nextNumber = 0;

  /** Notes a moment; the earliest one of each queue counts. */
  note(queue: string, at: number): void {
    const known = this.#noted.get(queue);
    if (known !== undefined && known.at <= at) return;
    if (known !== undefined) this.#queues.delete(known.number);
    this.#nextNumber += 1;
    this.#noted.set(queue, { number: this.#nextNumber, at });
    this.#queues.set(this.#nextNumber, queue);
    this.#entries.push(at, this.#nextNumber);
  }

  /** Notes that there is more to hand out already: the next turn serves whoever waits. */
  noteNow(queue: string): void {
    this.note(queue, 0);
  }

  /** The next moment, or undefined. May be early, never late. */
  get nextAt(): number | undefined {
    return this.#entries.firstRank;
  }

  /** Takes out the queues whose moment has come. */
  take(nowMs: number): readonly string[] {
    const queues: string[] = [];
    for (let at = this.nextAt; at !== undefined && at <= nowMs; at = this.nextAt) {
      const number = this.#entries.firstValue ?? 0;
      this.#entries.shift();
      const queue = this.#queues.get(number);
      // An entry that was overtaken by an earlier one stands for nothing.
      if (queue === undefined) continue;
      this.#queues.delete(number);
      this.#noted.delete(queue);
      queues.push(queue);
    }
    return queues;
  }
}
