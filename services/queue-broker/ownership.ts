import type { Streams } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { KV, Nats } from '#shared/runtime/nats.ts';

export interface OwnershipOptions {
  readonly nats: Nats;
  readonly streams: Streams;
  readonly broker: string;
  readonly replicas: number;
  readonly clock: Clock;
  readonly log: Log;
}

const leaseKey = 'owner';
/** A lease that has not been renewed for this long is free. Judged on one's own monotonic clock alone. */
const leaseMs = 3_000;
const renewEveryMs = 1_000;
const lookEveryMs = 250;

/**
 * Who tries to own the partitions: one lease in a KV bucket, taken and renewed by compare-and-set. It only decides who
 * tries; the fence in each log decides who may. Several brokers are one owner and its stand-ins.
 */
export class Ownership {
  readonly #options: OwnershipOptions;
  #bucket: KV | undefined;
  #revision = 0;
  #cancelRenewal: (() => void) | undefined;
  #stopped = false;

  constructor(options: OwnershipOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { nats, streams, replicas } = this.#options;
    this.#bucket = await nats.kvm.create(streams.leases, { history: 1, replicas });
  }

  /**
   * Waits until the lease is ours.
   * @param lost called once, when another broker has taken it
   * @returns false when `stop` was called first
   */
  async acquire(lost: () => void): Promise<boolean> {
    let seen = { revision: -1, sinceMs: 0 };
    while (!this.#stopped) {
      const revision = await this.#tryTake(seen).catch((error: unknown) => {
        this.#options.log.warn({ err: error }, 'asking for the lease failed, trying again');
        return { taken: false, revision: seen.revision };
      });
      if (revision.taken) {
        this.#revision = revision.revision;
        this.#scheduleRenewal(lost);
        return true;
      }
      if (revision.revision !== seen.revision)
        seen = { revision: revision.revision, sinceMs: this.#options.clock.monotonicMs() };
      await sleep(this.#options.clock, lookEveryMs);
    }
    return false;
  }

  /** Gives the lease back, so that a stand-in need not wait for it to run out. */
  async release(): Promise<void> {
    this.#stopped = true;
    this.#cancelRenewal?.();
    if (this.#revision === 0) return;
    await this.#kv()
      .delete(leaseKey, { previousSeq: this.#revision })
      .catch(() => undefined);
  }

  /** Stops renewing what is no longer ours. */
  forget(): void {
    this.#cancelRenewal?.();
    this.#revision = 0;
  }

  async #tryTake(seen: {
    readonly revision: number;
    readonly sinceMs: number;
  }): Promise<{ taken: boolean; revision: number }> {
    const { broker, clock } = this.#options;
    const entry = await this.#kv().get(leaseKey);
    if (entry === null || entry.operation !== 'PUT') {
      return this.#take(() => this.#kv().create(leaseKey, broker), entry?.revision ?? 0);
    }
    // A restart of this very broker: nobody else has this name, so nobody has to be waited for.
    const mine = entry.string() === broker;
    const ranOut = entry.revision === seen.revision && clock.monotonicMs() - seen.sinceMs >= leaseMs;
    if (!mine && !ranOut) return { taken: false, revision: entry.revision };
    return this.#take(() => this.#kv().update(leaseKey, broker, entry.revision), entry.revision);
  }

  async #take(write: () => Promise<number>, known: number): Promise<{ taken: boolean; revision: number }> {
    try {
      return { taken: true, revision: await write() };
    } catch {
      // Somebody else was faster; the next look shows who.
      return { taken: false, revision: known };
    }
  }

  #scheduleRenewal(lost: () => void): void {
    this.#cancelRenewal = this.#options.clock.after(renewEveryMs, () => void this.#renew(lost));
  }

  async #renew(lost: () => void): Promise<void> {
    if (this.#stopped || this.#revision === 0) return;
    try {
      this.#revision = await this.#kv().update(leaseKey, this.#options.broker, this.#revision);
    } catch (error) {
      const entry = await this.#kv()
        .get(leaseKey)
        .catch(() => null);
      // No answer is not a loss: as long as nobody raises a fence, this broker may go on.
      if (entry !== null && entry.revision !== this.#revision) {
        if (entry.operation === 'PUT' && entry.string() === this.#options.broker)
          this.#revision = entry.revision;
        else {
          this.#options.log.warn({ err: error }, 'another broker has taken the lease');
          this.forget();
          lost();
          return;
        }
      }
    }
    this.#scheduleRenewal(lost);
  }

  #kv(): KV {
    if (this.#bucket === undefined) throw new Error('the lease was used before it was opened');
    return this.#bucket;
  }
}
