import type { Clock } from '#shared/runtime/clock.ts';

/** An owner looks every ten seconds at least; one that did not was stopped, or could not write. */
const awayMsMin = 30_000;
/** Wall time may run ahead of monotonic time by this much between two looks before it has jumped. */
const jumpMsMin = 1_000;

/**
 * Since when a partition's owner has watched the time go by. Slots of schedules since then fire one by one, however
 * late a busy owner is; those before were missed: nobody was there, or the clock jumped over them.
 */
export class Attendance {
  readonly #clock: Clock;
  #since: number;
  #wallMs: number;
  #monotonicMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#wallMs = clock.nowMs();
    this.#monotonicMs = clock.monotonicMs();
    this.#since = this.#wallMs;
  }

  /** Epoch milliseconds. */
  since(): number {
    const wallMs = this.#clock.nowMs();
    const monotonicMs = this.#clock.monotonicMs();
    const passedMs = monotonicMs - this.#monotonicMs;
    const jumpedMs = wallMs - this.#wallMs - passedMs;
    if (Math.abs(jumpedMs) >= jumpMsMin || passedMs >= awayMsMin) this.#since = wallMs;
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
    return this.#since;
  }
}
