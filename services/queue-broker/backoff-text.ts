import { formatDuration } from '#shared/protocol/durations.ts';
import type { Backoff } from './core/retry-policy.ts';

/** A back-off as `configure` takes it. */
export const backoffText = (backoff: Backoff): string =>
  backoff.kind === 'fixed'
    ? `fixed:${formatDuration(backoff.delayMs)}`
    : `exponential:${formatDuration(backoff.firstMs)}:${formatDuration(backoff.capMs)}`;
