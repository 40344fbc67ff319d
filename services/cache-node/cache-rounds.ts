import type { CacheEvent } from '#shared/protocol/cache-schemas.ts';
import { cacheExpiredPerStepMax, cacheHeartbeatMs } from '#shared/protocol/limits.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Namespaces } from './core/namespaces.ts';

export interface CacheRoundsOptions {
  readonly clock: Clock;
  /** Those that are in force at the moment. */
  readonly namespaces: () => Namespaces;
  /** What entries expire by. */
  readonly nowMs: () => number;
  readonly publish: (namespace: string, event: CacheEvent) => void;
}

/** How often expired entries are looked for, in milliseconds, when the last look left none. */
const expiryPeriodMs = 100;

/** What a node does by itself, over and over: it removes what has expired, and tells where its events stand. */
export class CacheRounds {
  readonly #options: CacheRoundsOptions;
  #cancelExpiry = () => {};
  #cancelHeartbeat = () => {};

  constructor(options: CacheRoundsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#expireLater(expiryPeriodMs);
    this.#beatLater();
  }

  stop(): void {
    this.#cancelExpiry();
    this.#cancelHeartbeat();
  }

  #expireLater(delayMs: number): void {
    this.#cancelExpiry = this.#options.clock.after(delayMs, () => {
      const { namespaces, nowMs, publish } = this.#options;
      const expired = namespaces().expire(cacheExpiredPerStepMax, nowMs());
      for (const { name, events } of namespaces().all())
        if (events.isWaiting) for (const event of events.take()) publish(name, event);
      // A full step means that more are due: requests get their turn first.
      this.#expireLater(expired === cacheExpiredPerStepMax ? 0 : expiryPeriodMs);
    });
  }

  /** The last sequence again, wherever somebody may hold copies: so a lost invalidation is noticed. */
  #beatLater(): void {
    this.#cancelHeartbeat = this.#options.clock.after(cacheHeartbeatMs, () => {
      const { namespaces, publish } = this.#options;
      for (const { name, settings, events } of namespaces().all())
        if (settings.nearCache) publish(name, events.heartbeat());
      this.#beatLater();
    });
  }
}
