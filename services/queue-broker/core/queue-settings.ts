import { payloadBytesMax } from '#shared/protocol/limits.ts';
import type { QueueOrdering } from '#shared/protocol/queue-settings-schemas.ts';
import { type Backoff, defaultBackoff } from './retry-policy.ts';

/** A queue's settings in effect, in the broker's units. */
export interface QueueSettings {
  readonly attemptsMax: number;
  readonly backoff: Backoff;
  readonly timeoutMs?: number;
  readonly leaseMs: number;
  readonly dedupWindowMs: number;
  readonly ordering: QueueOrdering;
  readonly agingAfterMs: number;
  /** Items that are not final, and bytes of their payloads. */
  readonly itemsMax?: number;
  readonly bytesMax?: number;
  readonly concurrency: Concurrency;
  readonly rateLimit: RateLimits;
  readonly retention: Retention;
  /** Of one item. The same for all queues of a broker. */
  readonly payloadBytesMax: number;
  /** Paths of the payload's fields whose text is kept beside the item. */
  readonly search: readonly string[];
}

/** Leases at once. */
export interface Concurrency {
  readonly total?: number;
  readonly perGroup?: number;
}

/** Claims in any window. */
export interface RateLimit {
  readonly count: number;
  readonly perMs: number;
}

export interface RateLimits {
  readonly total?: RateLimit;
  readonly perGroup?: RateLimit;
}

/** How long finished items are kept: what is beyond any of the three goes, the oldest first. */
export interface Keep {
  readonly ageMs?: number;
  readonly count?: number;
  readonly bytes?: number;
}

/** Cancelled items count as done. */
export interface Retention {
  readonly done: Keep;
  readonly failed: Keep;
}

/** What was configured; what is absent has its default. */
export type StoredSettings = Omit<Partial<QueueSettings>, 'retention' | 'payloadBytesMax'> & {
  readonly retention?: Partial<Retention>;
};

/** The settings in effect where `stored` was configured. */
export const effectiveSettings = (defaults: QueueSettings, stored: StoredSettings): QueueSettings => ({
  ...defaults,
  ...stored,
  retention: {
    done: { ...defaults.retention.done, ...stored.retention?.done },
    failed: { ...defaults.retention.failed, ...stored.retention?.failed },
  },
});

export const defaultSettings: QueueSettings = {
  attemptsMax: 5,
  backoff: defaultBackoff,
  leaseMs: 30_000,
  dedupWindowMs: 24 * 3_600_000,
  ordering: 'strict',
  agingAfterMs: 5 * 60_000,
  concurrency: {},
  rateLimit: {},
  retention: { done: { ageMs: 3_600_000, count: 100_000 }, failed: { ageMs: 14 * 86_400_000 } },
  payloadBytesMax,
  search: [],
};
