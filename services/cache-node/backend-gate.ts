import { type CircuitBreaker, makeCircuitBreaker } from '#shared/runtime/circuit-breaker.ts';
import { type Clock, sleep, within } from '#shared/runtime/clock.ts';

export interface BackendGateOptions {
  readonly clock: Clock;
  /** The backend failed, was late, or is not to be asked yet: it is not asked any more but to try whether it is back. */
  readonly cutOff: (fault: unknown) => void;
}

const triedAfterMsFirst = 250;
const triedAfterMsMax = 2_000;
/** Where there is no later: how long it is tried, and after what time again, in milliseconds. */
const insistMsMax = 2_000;
const insistAgainMs = 50;
/** A timer that comes late may come before answers that are here already: they get so long to be read. */
const lateReadMs = 2;

/** The way to a backend: through the circuit breaker, and nobody waits on it beyond his time. */
export class BackendGate {
  readonly #clock: Clock;
  readonly #cutOff: BackendGateOptions['cutOff'];
  #breaker: CircuitBreaker;
  /** Rejects what is under way. */
  #failure = Promise.withResolvers<never>();

  constructor({ clock, cutOff }: BackendGateOptions) {
    this.#clock = clock;
    this.#cutOff = cutOff;
    this.#failure.promise.catch(() => undefined);
    this.#breaker = this.#makeBreaker();
  }

  /** Tries at once, and again until the backend is back or that takes too long: there is no later. */
  async insist(tryOnce: () => Promise<void>, isBack: () => boolean): Promise<void> {
    const clock = this.#clock;
    const untilMs = clock.monotonicMs() + insistMsMax;
    while (!isBack()) {
      this.#breaker = this.#makeBreaker();
      await within(clock, insistMsMax, tryOnce(), undefined);
      if (clock.monotonicMs() >= untilMs) return;
      if (!isBack()) await sleep(clock, insistAgainMs);
    }
  }

  /** Asks the backend; rejects as well when the time of any call is over. */
  async attempt<T>(action: () => Promise<T>): Promise<T> {
    const failure = this.#failure.promise;
    try {
      return await this.#breaker.run(() => Promise.race([action(), failure]));
    } catch (error) {
      // Also where the breaker let nothing through, of which it does not tell: whoever asks would ask again for ever.
      this.#cutOff(error);
      throw error;
    }
  }

  /** Tries whether the backend is back, if it may be tried again. Never rejects: `cutOff` is told. */
  async probe(action: () => Promise<void>): Promise<void> {
    try {
      await this.#breaker.run(action);
    } catch {
      // The breaker has told of it.
    }
  }

  /** Something must be answered by then, by the monotonic clock; the returned function says that it was. */
  watch(untilMs: number): () => void {
    let cancel = this.#clock.after(untilMs - this.#clock.monotonicMs(), () => {
      const { reject } = this.#failure;
      cancel = this.#clock.after(lateReadMs, () => reject(new Error('the backend did not answer in time')));
    });
    return () => cancel();
  }

  #makeBreaker(): CircuitBreaker {
    return makeCircuitBreaker({ triedAfterMsFirst, triedAfterMsMax, cutOff: this.#cutOff });
  }

  /** Rejects all that is under way. */
  fail(fault: unknown): void {
    this.#failure.reject(fault);
    this.#failure = Promise.withResolvers<never>();
    this.#failure.promise.catch(() => undefined);
  }
}
