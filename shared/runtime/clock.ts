/**
 * The only way to the time. Services take a clock, so that the simulator can give them a virtual one.
 */
export interface Clock {
  /** Wall time, epoch milliseconds: what is written down. May jump. */
  nowMs(): number;
  /** Monotonic milliseconds since some start: what durations are measured with. Never jumps back. */
  monotonicMs(): number;
  /** Calls `action` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, action: () => void): () => void;
}

// setTimeout overflows to "at once" beyond 2^31 − 1 ms; a longer wait is cut and the caller asks again.
export const timerMsMax = 2_147_483_647;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, Math.min(Math.max(delayMs, 0), timerMsMax));
    return () => clearTimeout(timer);
  },
};

/** A promise of `clock.after`, for the edges. */
export const sleep = (clock: Clock, delayMs: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });

/** What `action` comes to, or `late` when it does not come within `msMax`. Rejects as `action`. */
export async function within<T, Late>(
  clock: Clock,
  msMax: number,
  action: Promise<T>,
  late: Late,
): Promise<T | Late> {
  const timeUp = Promise.withResolvers<Late>();
  const cancel = clock.after(msMax, () => timeUp.resolve(late));
  try {
    return await Promise.race([action, timeUp.promise]);
  } finally {
    cancel();
  }
}

/** What `action` comes to. Rejects as `action`, and when it does not come within `msMax`. */
export async function inTime<T>(clock: Clock, msMax: number, action: Promise<T>): Promise<T> {
  const late = Symbol('late');
  const outcome = await within(clock, msMax, action, late);
  if (outcome === late) throw new Error(`no answer within ${msMax} ms`);
  return outcome;
}
