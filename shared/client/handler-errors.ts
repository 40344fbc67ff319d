import { durationMs } from '#shared/protocol/durations.ts';
import { TrivetError, refuseField } from '#shared/protocol/errors.ts';
import { delayMsMax, errorMessageLengthMax, keyLengthMax } from '#shared/protocol/limits.ts';
import type { Failure } from '#shared/protocol/queue-schemas.ts';
import { isError, stackOf, thrownText } from './error-stack.ts';

// What a handler may throw to say more than "this attempt has failed".

/** Throw it from a handler: the item fails for good, whatever attempts are left. */
export class DoNotRetry extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DoNotRetry';
  }
}

/** Throw it from a handler: this attempt has failed, and the next one begins after `delay` instead of the back-off. */
export class RetryIn extends Error {
  readonly delayMs: number;

  /** @param delay such as "10s", or milliseconds */
  constructor(delay: string | number, message = 'to be tried again later', options?: ErrorOptions) {
    super(message, options);
    this.name = 'RetryIn';
    this.delayMs = delayOf(delay);
  }
}

/**
 * Throw it from a handler: the item is handed back for `delay`, and the attempt is not charged. For work that could not
 * be begun: a rate limit of somebody else, a service that is down for maintenance.
 */
export class RetryAfter extends Error {
  readonly delayMs: number;
  readonly pauseWorker: boolean;

  /**
   * @param delay such as "30s", or milliseconds
   * @param options `pauseWorker`: the worker takes nothing else either for as long
   */
  constructor(delay: string | number, options: { readonly pauseWorker?: boolean | undefined } = {}) {
    super('to be tried again later, uncharged');
    this.name = 'RetryAfter';
    this.delayMs = delayOf(delay);
    this.pauseWorker = options.pauseWorker ?? false;
  }
}

/** A thrown value as the item remembers it. */
export function failureOf(error: unknown): Failure {
  if (!isError(error)) return { message: thrownText(error).slice(0, errorMessageLengthMax) };
  const stack = stackOf(error);
  const type = textOf(() => error.name).slice(0, keyLengthMax);
  // Some errors have no message, such as that of a connection whose every address was tried.
  const message = textOf(() => error.message).slice(0, errorMessageLengthMax) || type;
  return { message, type, ...(stack === undefined ? {} : { stack }) };
}

/** Anything may be thrown, and an error's members may be anything: none of it may throw again where it is told. */
function textOf(read: () => unknown): string {
  try {
    return String(read());
  } catch {
    return 'a value that has no text';
  }
}

function delayOf(delay: string | number): number {
  const ms = durationMs(delay);
  // A longer one the broker would refuse, and with it all that is said of the attempt.
  if (ms === undefined || ms > delayMsMax)
    throw new TrivetError(
      refuseField('delay', 'is not a duration such as "30s", of ten years at most').error,
    );
  return ms;
}
