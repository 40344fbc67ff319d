import type { Clock } from './clock.ts';

/** Who owns what the lease is about. */
export interface Owner {
  /** Name of the process, stable over its restarts. */
  readonly node: string;
  /** One run of that process. */
  readonly instance: string;
}

/** Where the lease is kept: one record that is only ever written over the revision that was read. */
export interface LeaseRecord {
  /** The owner, if there is one, and the revision to write over: 0 when nothing was ever written. */
  read(): Promise<{ readonly owner: Owner | undefined; readonly revision: number }>;
  /** The new revision, or undefined when the record is no longer at `revision`. Throws when the outcome is unknown. */
  write(owner: Owner, revision: number): Promise<number | undefined>;
  remove(revision: number): Promise<void>;
}

export interface OwnerLeaseOptions {
  readonly record: LeaseRecord;
  readonly clock: Clock;
  readonly self: Owner;
  /** An owner that could not renew for this long no longer acts; the others wait a quarter longer. */
  readonly leaseMs: number;
  readonly gained: () => void;
  /** @param by the owner now, where that is known */
  readonly lost: (by: Owner | undefined) => void;
  /** A step that failed; the next one tries again. */
  readonly failed: (error: unknown) => void;
}

type State =
  | { readonly kind: 'owner'; readonly revision: number; readonly validUntilMs: number }
  /** What was seen last, and since when on this node's own clock. */
  | { readonly kind: 'standby'; readonly revision: number; readonly sinceMs: number };

/**
 * The right to own something, such as the whole cache or the partitions of the queue, held by one process at a time. The owner renews it; a standby takes it when
 * the record has not changed for longer than a lease on the standby's own monotonic clock, so no two clocks are ever
 * compared. The owner counts its lease from before it asked, the standby from after it saw: the owner stops first.
 * Source: Gray and Cheriton, "Leases: an efficient fault-tolerant mechanism for distributed file cache consistency",
 * SOSP 1989.
 */
export class OwnerLease {
  readonly #options: OwnerLeaseOptions;
  #state: State = { kind: 'standby', revision: -1, sinceMs: 0 };
  #inTouchUntilMs = -Infinity;
  #settle = () => {};
  #cancel = () => {};
  #stopped = false;

  constructor(options: OwnerLeaseOptions) {
    this.#options = options;
  }

  /** Whether this process may act as the owner now. A paused process that wakes up reads its own clock here, and may not. */
  holds(): boolean {
    return this.#state.kind === 'owner' && this.#options.clock.monotonicMs() < this.#state.validUntilMs;
  }

  /**
   * Whether a question of the last `leaseMs` about the record was answered. Where the answer comes by the same connection
   * as everything else, nothing that this process is handed now lay there for longer: it was not paused before it read it.
   */
  isInTouch(): boolean {
    return this.#options.clock.monotonicMs() < this.#inTouchUntilMs;
  }

  /** Resolves once there is an owner: this process, or another one that was seen to renew. */
  start(): Promise<void> {
    return new Promise((resolve) => {
      this.#settle = resolve;
      void this.#run();
    });
  }

  /** Gives the lease back, so that a standby takes over at its next look and does not wait for the lease to end. */
  async release(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    const state = this.#state;
    if (state.kind !== 'owner' || !this.holds()) return;
    this.#state = { kind: 'standby', revision: state.revision, sinceMs: 0 };
    // A lease that could not be given back ends by itself.
    await this.#options.record.remove(state.revision).catch(this.#options.failed);
  }

  async #run(): Promise<void> {
    try {
      await (this.#state.kind === 'owner' ? this.#renew(this.#state.revision) : this.#watch(this.#state));
    } catch (error) {
      this.#options.failed(error);
    }
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(this.#options.leaseMs / 4, () => void this.#run());
  }

  async #renew(revision: number): Promise<void> {
    if (await this.#write(revision)) return;
    const { owner, revision: current } = await this.#inTime(this.#options.record.read());
    // Our own write of which we heard nothing, or a record that names nobody: the lease is still ours.
    const isOurs = owner === undefined || owner.instance === this.#options.self.instance;
    if (isOurs && (await this.#write(current))) return;
    if (this.#stopped) return;
    // A write of our own that came late, between reading and writing: nobody took the lease. The next step renews it.
    if (isOurs) return this.#expectRevision(current);
    this.#state = { kind: 'standby', revision: current, sinceMs: this.#options.clock.monotonicMs() };
    this.#options.lost(owner);
  }

  /** How long the lease is valid does not change by that. */
  #expectRevision(revision: number): void {
    if (this.#state.kind === 'owner') this.#state = { ...this.#state, revision };
  }

  async #watch(seen: { readonly revision: number; readonly sinceMs: number }): Promise<void> {
    const { clock, leaseMs, self } = this.#options;
    const { owner, revision } = await this.#inTime(this.#options.record.read());
    const nowMs = clock.monotonicMs();
    // A process of our own name is the run before this one: whoever started this one knows that it has ended.
    const isFree = owner === undefined || owner.node === self.node;
    const hasExpired = revision === seen.revision && nowMs - seen.sinceMs >= leaseMs * 1.25;
    if (isFree || hasExpired) {
      if (!this.#stopped && (await this.#write(revision))) {
        this.#options.gained();
        this.#settle();
      }
      return;
    }
    if (revision === seen.revision) return;
    if (seen.revision !== -1) this.#settle();
    this.#state = { kind: 'standby', revision, sinceMs: nowMs };
  }

  /** Writes the record; the lease counts from before the request. False when somebody else wrote. */
  async #write(revision: number): Promise<boolean> {
    const askedMs = this.#options.clock.monotonicMs();
    const written = await this.#inTime(this.#options.record.write(this.#options.self, revision));
    if (written === undefined) return false;
    this.#state = { kind: 'owner', revision: written, validUntilMs: askedMs + this.#options.leaseMs };
    return true;
  }

  /** An answer that got lost (a restart of NATS) must not keep the next try waiting for longer than the lease. */
  #inTime<Value>(answer: Promise<Value>): Promise<Value> {
    const { clock, leaseMs } = this.#options;
    const askedMs = clock.monotonicMs();
    return new Promise((resolve, reject) => {
      const cancel = clock.after(leaseMs / 2, () => reject(new Error('no answer about the lease in time')));
      const answered = (value: Value) => {
        this.#inTouchUntilMs = Math.max(this.#inTouchUntilMs, askedMs + leaseMs);
        resolve(value);
      };
      answer.then(answered, reject).finally(cancel).catch(reject);
    });
  }
}
