import type { Clock } from '#shared/runtime/clock.ts';
import type { LeaseRecord, Owner } from '#shared/runtime/owner-lease.ts';

export interface LeaseWatchOptions {
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly leaseOf: (node: string) => LeaseRecord;
  /** Whether this node's own lease holds: who was cut off itself judges nobody. */
  readonly mayJudge: () => boolean;
}

interface Seen {
  readonly revision: number;
  /** Since when the revision is known, on this node's own clock. */
  readonly sinceMs: number;
}

/** The instance in a lease that was taken away: no process has it. */
const nobody = '';

/** What stands in the lease of a node that was put out: in its own name, so that it may take it again at once. */
export const putOut = (node: string): Owner => ({ node, instance: nobody });

/** True when the lease was taken away because its holder had not renewed it. */
export const wasPutOut = (owner: Owner | undefined): boolean => owner?.instance === nobody;

/** A node renews its lease every quarter of it: one that was silent for longer may have renewed it with its last act. */
const isSilentAfter = 5 / 16;

/**
 * Watches the leases of the other nodes. One that has not changed for a lease and a quarter, on this node's own clock,
 * is written over at the revision that was seen: when that succeeds, its holder has stopped to act by its own clock,
 * and can never renew it. No two clocks are compared, and what was only read, or heard, decides nothing.
 */
export class LeaseWatch {
  readonly #options: LeaseWatchOptions;
  readonly #seen = new Map<string, Seen>();
  #isLooking = false;

  constructor(options: LeaseWatchOptions) {
    this.#options = options;
  }

  /** A node said that it renewed its lease, and how the record stands since. */
  hear(node: string, revision: number): void {
    if (revision > (this.#seen.get(node)?.revision ?? -1)) this.#see(node, revision);
  }

  /** Counts anew for everybody: after this node was cut off, it did not see who renewed meanwhile. */
  forgive(): void {
    for (const [node, { revision }] of this.#seen) this.#see(node, revision);
  }

  /**
   * Looks after `nodes`, and forgets all others.
   * @returns those of them whose lease was ended now. Rejects when a lease could not be read or written
   */
  async look(nodes: readonly string[]): Promise<readonly string[]> {
    if (this.#isLooking) return [];
    this.#isLooking = true;
    try {
      for (const node of this.#seen.keys()) if (!nodes.includes(node)) this.#seen.delete(node);
      const ended: string[] = [];
      for (const node of nodes) if (await this.#hasEnded(node)) ended.push(node);
      return ended;
    } finally {
      this.#isLooking = false;
    }
  }

  async #hasEnded(node: string): Promise<boolean> {
    const seen = this.#seen.get(node);
    if (seen === undefined) return this.#read(node);
    const { clock, leaseMs, mayJudge } = this.#options;
    const silentMs = clock.monotonicMs() - seen.sinceMs;
    if (silentMs < leaseMs * isSilentAfter || !mayJudge()) return false;
    // Who ends right after a renewal cannot tell of it. Found only when the lease seems to be over, the newer revision
    // would have to be waited for once more.
    if (silentMs < leaseMs * 1.25) return this.#read(node, false);
    return (await this.#end(node, seen.revision)) || this.#read(node);
  }

  /**
   * Reads how a lease stands. One that was given back, or taken away by a node that did not come to put it into the map,
   * has ended already.
   * @param mayEnd false while its holder may only have lost the bucket, and will write it again
   */
  async #read(node: string, mayEnd = true): Promise<boolean> {
    const before = this.#seen.get(node);
    const { owner, revision } = await this.#options.leaseOf(node).read();
    if (mayEnd && (owner === undefined || wasPutOut(owner)) && this.#options.mayJudge())
      if (await this.#end(node, revision)) return true;
    // What was heard meanwhile is newer than what was read.
    if (this.#seen.get(node) === before && revision !== before?.revision) this.#see(node, revision);
    return false;
  }

  async #end(node: string, revision: number): Promise<boolean> {
    if ((await this.#options.leaseOf(node).write(putOut(node), revision)) === undefined) return false;
    this.#seen.delete(node);
    return true;
  }

  #see(node: string, revision: number): void {
    this.#seen.set(node, { revision, sinceMs: this.#options.clock.monotonicMs() });
  }
}
