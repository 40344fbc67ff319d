import { systemClock } from '#shared/runtime/clock.ts';

/**
 * Notices that this thread was blocked: its timer fires late. A reply that came in meanwhile has waited unread, and
 * what it says may no longer hold. (After a blockade Node.js runs late timers before it reads sockets.)
 */
export class LoopWatch {
  readonly #everyMs: number;
  #blocked = false;
  #cancel: () => void;

  /** @param lateMs a blockade shorter than this does not count */
  constructor(lateMs: number) {
    this.#everyMs = lateMs / 2;
    this.#cancel = this.#await();
  }

  /** The thread was blocked within the last while. */
  get blocked(): boolean {
    return this.#blocked;
  }

  end(): void {
    this.#cancel();
  }

  #await(): () => void {
    const from = systemClock.monotonicMs();
    return systemClock.after(this.#everyMs, () => {
      this.#blocked = systemClock.monotonicMs() - from > 2 * this.#everyMs;
      this.#cancel = this.#await();
    });
  }
}
