import {
  BrokenCircuitError,
  ConsecutiveBreaker,
  ExponentialBackoff,
  circuitBreaker,
  handleAll,
} from 'cockatiel';

// The only door to cockatiel: what cuts off a part that fails, and lets it be tried again.

export interface CircuitBreaker {
  /**
   * Runs the action unless it is cut off: then it rejects at once with a `CutOffError`. Where it was cut off for long
   * enough, one action is let through to try.
   */
  run<T>(action: () => Promise<T>): Promise<T>;
}

export interface CircuitBreakerOptions {
  /** How long the first try waits, and any later one at most, in milliseconds. */
  readonly triedAfterMsFirst: number;
  readonly triedAfterMsMax: number;
  /** An action failed, and what follows is cut off. Called again when a try failed. */
  readonly cutOff: (error: unknown) => void;
}

export { BrokenCircuitError as CutOffError };

/** A breaker that opens with the first failure: who uses it knows afterwards what was done, or nothing. */
export function makeCircuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  const policy = circuitBreaker(handleAll, {
    breaker: new ConsecutiveBreaker(1),
    halfOpenAfter: new ExponentialBackoff({
      initialDelay: options.triedAfterMsFirst,
      maxDelay: options.triedAfterMsMax,
    }),
  });
  policy.onBreak((reason) => options.cutOff('error' in reason ? reason.error : undefined));
  return { run: (action) => policy.execute(action) };
}
