import type { Concurrency, RateLimit, RateLimits } from '#services/queue-broker/core/queue-settings.ts';

export interface PlainItem {
  readonly order: number;
  readonly group: string | undefined;
  band: number;
  state: 'pending' | 'processing' | 'ended';
  /** Its place in line: numbers that only grow. */
  place: number;
}

interface PlainClaim {
  readonly group: string | undefined;
  readonly at: number;
}

/** A limited queue in the plainest words: lists of items and of claims, searched from end to end. */
export class PlainLimits {
  readonly items: PlainItem[] = [];
  readonly claims: PlainClaim[] = [];
  concurrency: Concurrency = {};
  rateLimit: RateLimits = {};
  #places = 0;

  add(order: number, group: string | undefined, band: number): void {
    this.items.push({ order, group, band, state: 'pending', place: this.nextPlace() });
  }

  nextPlace(): number {
    this.#places += 1;
    return this.#places;
  }

  of(state: PlainItem['state']): readonly PlainItem[] {
    return this.items.filter((item) => item.state === state);
  }

  /** Why an item of this group may not be claimed at `at`, as a sentence; undefined when it may. */
  obstacle(group: string | undefined, at: number): string | undefined {
    const leased = this.of('processing');
    const { concurrency, rateLimit } = this;
    if (leased.length >= (concurrency.total ?? Number.POSITIVE_INFINITY)) return 'the queue has its leases';
    if (isFull(this.claims, rateLimit.total, at)) return 'the queue has had its claims';
    if (group === undefined) return undefined;
    const ofGroup = leased.filter((item) => item.group === group).length;
    if (ofGroup >= (concurrency.perGroup ?? Number.POSITIVE_INFINITY)) return `${group} has its leases`;
    const claims = this.claims.filter((claim) => claim.group === group);
    return isFull(claims, rateLimit.perGroup, at) ? `${group} has had its claims` : undefined;
  }

  /** Items that could be claimed at `at`. */
  free(at: number): readonly PlainItem[] {
    return this.of('pending').filter(({ group }) => this.obstacle(group, at) === undefined);
  }

  claim(order: number, at: number): void {
    const item = this.items.find((one) => one.order === order);
    if (item?.state !== 'pending') throw new Error(`item ${order} is claimed and is ${item?.state}`);
    const obstacle = this.obstacle(item.group, at);
    if (obstacle !== undefined) throw new Error(`item ${order} is claimed though ${obstacle}`);
    const free = this.free(at);
    const urgent = free.find((one) => one.band < item.band);
    if (urgent !== undefined) throw new Error(`item ${order} is claimed before ${urgent.order}, more urgent`);
    const earlier = free.find(
      (one) => one.band === item.band && one.group === item.group && one.place < item.place,
    );
    if (earlier !== undefined)
      throw new Error(`item ${order} is claimed before ${earlier.order} of its line`);
    item.state = 'processing';
    this.claims.push({ group: item.group, at });
  }
}

function isFull(claims: readonly PlainClaim[], limit: RateLimit | undefined, at: number): boolean {
  if (limit === undefined) return false;
  return claims.filter((claim) => claim.at + limit.perMs > at).length >= limit.count;
}
