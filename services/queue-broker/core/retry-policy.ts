/** How long an item waits between attempts. */
export type Backoff =
  | { readonly kind: 'exponential'; readonly firstMs: number; readonly capMs: number }
  | { readonly kind: 'fixed'; readonly delayMs: number };

export const isSameBackoff = (one: Backoff, other: Backoff): boolean =>
  // Most have it from the queue's settings: then it is the same object.
  one === other ||
  (one.kind === 'fixed'
    ? other.kind === 'fixed' && one.delayMs === other.delayMs
    : other.kind === 'exponential' && one.firstMs === other.firstMs && one.capMs === other.capMs);

export const defaultBackoff: Backoff = { kind: 'exponential', firstMs: 1_000, capMs: 3_600_000 };

/**
 * Milliseconds to wait before the next attempt: exponential, capped, with full jitter; or fixed.
 * Full jitter, because equal delays make a failing crowd come back as a crowd.
 * Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
 * @param attempt   attempts already made, from 1
 * @param random01  uniform in [0, 1)
 * @returns whole milliseconds in [0, capMs]; never throws; O(1)
 */
export function retryDelayMs(backoff: Backoff, attempt: number, random01: number): number {
  if (backoff.kind === 'fixed') return backoff.delayMs;
  // 2^52 keeps the product finite; the cap is reached long before.
  const ceilingMs = Math.min(backoff.capMs, backoff.firstMs * 2 ** Math.min(attempt - 1, 52));
  return Math.floor(random01 * (ceilingMs + 1));
}
