import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '#shared/runtime/clock.ts';

// Long work holds up the event loop for so long at a time: well below the 20 ms that a caller may have to wait.
const turnMsMax = 4;

/** A piece of long work, between two looks of the event loop at everything else. */
export class Turn {
  readonly #clock: Clock;
  #startedMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#startedMs > turnMsMax;
  }

  /** Lets everything else have its turn. */
  async next(): Promise<void> {
    await nextTurn();
    this.#startedMs = this.#clock.monotonicMs();
  }
}
