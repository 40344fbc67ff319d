import type { Clock } from '#shared/runtime/clock.ts';

/**
 * Notices that this thread was blocked: its timer fires late, or has not fired yet when it should have. A reply that
 * came in meanwhile has waited unread, and what it says may no longer hold.
 */
export class LoopWatch {
  readonly #clock: Clock;
  readonly #lateMs: number;
  #firedAtMs: number;
  #late = false;
  #cancel: () => void;

  /** @param lateMs a blockade shorter than this may go unnoticed */
  constructor(clock: Clock, lateMs: number) {
    this.#clock = clock;
    this.#firedAtMs = clock.monotonicMs();
    this.#lateMs = lateMs;
    this.#cancel = this.#await();
  }

  /** The thread was blocked within the last while. Node.js may read sockets before the late timer fires, or after. */
  get blocked(): boolean {
    return this.#late || this.#clock.monotonicMs() - this.#firedAtMs > this.#lateMs;
  }

  end(): void {
    this.#cancel();
  }

  #await(): () => void {
    return this.#clock.after(this.#lateMs / 2, () => {
      const nowMs = this.#clock.monotonicMs();
      this.#late = nowMs - this.#firedAtMs > this.#lateMs;
      this.#firedAtMs = nowMs;
      this.#cancel = this.#await();
    });
  }
}
