import type { Configured } from '#services/queue-broker/core/facts.ts';
import type { Concurrency, RateLimit, RateLimits } from '#services/queue-broker/core/queue-settings.ts';
import type { ModelItem } from './model-item.ts';
import { must } from './must.ts';
import type { Submitted } from './submitted.ts';

interface PlainClaim {
  readonly group: string | undefined;
  readonly at: number;
}

interface Limits {
  readonly concurrency: Concurrency;
  readonly rateLimit: RateLimits;
  /** Since these limits were set: a window that was changed begins anew. */
  readonly claims: PlainClaim[];
}

/** What limits of a queue are, in the plainest words: leases and claims that are counted from end to end. */
export class LimitModel {
  readonly #submitted: Submitted;
  readonly #limits = new Map<string, Limits>();
  /** Record at which the limits of a queue were last set. */
  readonly #changed = new Map<string, number>();

  constructor(submitted: Submitted) {
    this.#submitted = submitted;
  }

  set({ queue, settings }: Configured, sequence: number): void {
    must(
      this.#submitted.has('configure', queue, JSON.stringify(settings)),
      `nobody asked for ${queue} to be set to ${JSON.stringify(settings)}`,
    );
    const { concurrency = {}, rateLimit = {} } = settings;
    this.#limits.set(queue, { concurrency, rateLimit, claims: [] });
    this.#changed.set(queue, sequence);
  }

  /** All settings of a queue go with it. */
  forget(queue: string, sequence: number): void {
    this.#limits.delete(queue);
    this.#changed.set(queue, sequence);
  }

  /** True when limits may have kept an item from a worker at some moment since the record `since`. */
  limited(queue: string, since: number): boolean {
    return this.#limits.has(queue) || (this.#changed.get(queue) ?? 0) > since;
  }

  /** Takes a claim, or throws the sentence that it breaks. @param items those that there are, before the claim */
  claim({ order, queue, group }: ModelItem, items: Iterable<ModelItem>, at: number): void {
    const limits = this.#limits.get(queue);
    if (limits === undefined) return;
    const { concurrency, rateLimit, claims } = limits;
    const leased = [...items].filter((item) => item.queue === queue && item.lease !== undefined);
    const obstacle =
      obstacleOf(leased.length, claims, { most: concurrency.total, rate: rateLimit.total, at }) ??
      (group === undefined
        ? undefined
        : obstacleOf(
            leased.filter((item) => item.group === group).length,
            claims.filter((claim) => claim.group === group),
            { most: concurrency.perGroup, rate: rateLimit.perGroup, at },
          ));
    must(
      obstacle === undefined,
      `item ${order} of ${queue}, group ${group}, is handed out though ${obstacle}`,
    );
    claims.push({ group, at });
  }
}

function obstacleOf(
  leases: number,
  claims: readonly PlainClaim[],
  { most, rate, at }: { most: number | undefined; rate: RateLimit | undefined; at: number },
): string | undefined {
  if (most !== undefined && leases >= most) return `${leases} of ${most} leases are given`;
  if (rate === undefined) return undefined;
  const recent = claims.filter((claim) => claim.at + rate.perMs > at).length;
  return recent >= rate.count ? `${recent} were within ${rate.perMs} ms` : undefined;
}
