import type { Clock } from '#shared/runtime/clock.ts';
import type { Turn } from './core/turn.ts';
import type { AfterCommit, Waiter } from './work.ts';

interface Place {
  readonly waiter: Waiter;
  readonly cancelExpiry: () => void;
}

/** The dequeues that wait, by queue, first come first served. Not durable: who waits asks again. */
export class WaitingLine {
  readonly #clock: Clock;
  readonly #places = new Map<string, Set<Place>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(queue: string): boolean {
    return this.#places.has(queue);
  }

  join(waiter: Waiter, waitMs: number): void {
    const line = this.#places.get(waiter.queue) ?? new Set<Place>();
    this.#places.set(waiter.queue, line);
    const place: Place = {
      waiter,
      cancelExpiry: this.#clock.after(waitMs, () => {
        this.#leave(place);
        waiter.expire();
      }),
    };
    line.add(place);
  }

  /** Serves who waits at `queue` until there is nothing left to hand out. */
  serve(queue: string, turn: Turn): readonly AfterCommit[] {
    const answers: AfterCommit[] = [];
    for (const place of this.#places.get(queue) ?? []) {
      const answer = place.waiter.decide(turn);
      if (answer === undefined) break;
      this.#leave(place);
      place.cancelExpiry();
      answers.push(answer);
    }
    return answers;
  }

  /** Sends everybody away with nothing. */
  dismiss(): void {
    for (const line of this.#places.values()) {
      for (const place of line) {
        place.cancelExpiry();
        place.waiter.expire();
      }
    }
    this.#places.clear();
  }

  #leave(place: Place): void {
    const line = this.#places.get(place.waiter.queue);
    line?.delete(place);
    if (line?.size === 0) this.#places.delete(place.waiter.queue);
  }
}
