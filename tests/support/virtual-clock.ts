import type { Clock } from '#shared/runtime/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly action: () => void;
}

/** Time that passes only when the test says so. Timers of one moment run in the order in which they were set. */
export class VirtualClock implements Clock {
  readonly #startMs: number;
  #elapsedMs = 0;
  #timers: Timer[] = [];

  /** @param startMs wall time of the beginning, epoch milliseconds */
  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const timer = { atMs: this.#elapsedMs + Math.max(0, Math.ceil(delayMs)), action };
    this.#timers.splice(this.#placeOf(timer.atMs), 0, timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Lets `ms` pass: every timer within them runs at its moment, and what it sets off is finished before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    await settled();
    for (;;) {
      const [timer] = this.#timers;
      if (timer === undefined || timer.atMs > untilMs) break;
      this.#timers.shift();
      this.#elapsedMs = timer.atMs;
      timer.action();
      await settled();
    }
    this.#elapsedMs = untilMs;
  }

  /** Lets time pass until `promise` is settled, and gives its value. Throws after `msMax` of virtual time. */
  async until<T>(promise: Promise<T>, msMax = 600_000): Promise<T> {
    const state = { ended: false };
    const end = () => {
      state.ended = true;
    };
    promise.then(end, end);
    await settled();
    for (let ms = 0; !state.ended; ms += 10) {
      if (ms > msMax) throw new Error(`nothing came of it within ${msMax} ms of virtual time`);
      await this.advance(10);
    }
    return promise;
  }

  #placeOf(atMs: number): number {
    let place = this.#timers.length;
    while (place > 0 && (this.#timers[place - 1]?.atMs ?? 0) > atMs) place -= 1;
    return place;
  }
}

/** Resolves when all promises that can go on without time passing have done so. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * The clock as one process sees it: its wall time may be wrong, it stands still while the process is paused, and no
 * timer fires any more once the process has died. Whatever a process waits for comes to it through its clock, so that
 * pausing or ending the clock is pausing or ending the process.
 */
export class ProcessClock implements Clock {
  readonly #world: Clock;
  readonly #skewMs: number;
  #state: 'running' | 'paused' | 'ended' = 'running';
  #held: (() => void)[] = [];

  constructor(world: Clock, skewMs = 0) {
    this.#world = world;
    this.#skewMs = skewMs;
  }

  get hasEnded(): boolean {
    return this.#state === 'ended';
  }

  nowMs(): number {
    return this.#world.nowMs() + this.#skewMs;
  }

  monotonicMs(): number {
    return this.#world.monotonicMs();
  }

  after(delayMs: number, action: () => void): () => void {
    let cancelled = false;
    const fire = (): void => {
      if (cancelled || this.#state === 'ended') return;
      if (this.#state === 'paused') this.#held.push(fire);
      else action();
    };
    const cancel = this.#world.after(delayMs, fire);
    return () => {
      cancelled = true;
      cancel();
    };
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  /** Wakes the process: what should have happened meanwhile happens now, in its order. */
  wake(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    const held = this.#held;
    this.#held = [];
    for (const fire of held) this.#world.after(0, fire);
  }

  end(): void {
    this.#state = 'ended';
    this.#held = [];
  }
}
