import type { StateEvent } from './state-event.ts';

/** What is counted for one queue over time, besides what is stored: rates, and how long things took. */
export interface Rates {
  readonly enqueued: number;
  readonly started: number;
  readonly done: number;
  readonly failed: number;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

const slotMs = 5_000;
const slots = 180;
const kinds = ['enqueued', 'started', 'done', 'failed'] as const;

/**
 * Counts of the last 15 minutes in slots of 5 seconds, and times in buckets that grow by a tenth each, so that a
 * percentile is exact to ten per cent. A few kilobytes a queue, made when the queue is first used.
 */
export class QueueFigures {
  readonly #counts = new Uint32Array(slots * kinds.length);
  #slot = 0;
  readonly #waits = new DurationBuckets();
  readonly #runs = new DurationBuckets();

  /** Counts one change of state at `nowMs`. */
  add(event: StateEvent, nowMs: number): void {
    this.#advance(nowMs);
    if (event.waitedMs !== undefined) this.#waits.add(event.waitedMs);
    if (event.ranMs !== undefined) this.#runs.add(event.ranMs);
    if (event.isNew) this.#count('enqueued');
    const kind = eventKinds[event.state];
    if (kind !== undefined) this.#count(kind);
  }

  #count(kind: (typeof kinds)[number]): void {
    const at = (this.#slot % slots) * kinds.length + kinds.indexOf(kind);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** Per second, over the last `minutes`. */
  rates(nowMs: number, minutes: 1 | 5 | 15): Rates {
    this.#advance(nowMs);
    const wanted = (minutes * 60_000) / slotMs;
    const [enqueued, started, done, failed] = kinds.map(
      (_, kind) => this.#sum(kind, wanted) / (minutes * 60),
    );
    return { enqueued: enqueued ?? 0, started: started ?? 0, done: done ?? 0, failed: failed ?? 0 };
  }

  get waitMs(): Percentiles {
    return this.#waits.percentiles();
  }

  get runMs(): Percentiles {
    return this.#runs.percentiles();
  }

  #sum(kind: number, wanted: number): number {
    let sum = 0;
    for (let back = 0; back < wanted; back += 1) {
      sum += this.#counts[((this.#slot - back + slots * 2) % slots) * kinds.length + kind] ?? 0;
    }
    return sum;
  }

  /** Empties the slots that time has passed over. */
  #advance(nowMs: number): void {
    const slot = Math.floor(nowMs / slotMs);
    const passed = this.#slot === 0 ? slots : Math.min(slots, slot - this.#slot);
    for (let step = 0; step < passed; step += 1) {
      const at = ((slot - step) % slots) * kinds.length;
      this.#counts.fill(0, at, at + kinds.length);
    }
    if (slot > this.#slot) this.#slot = slot;
  }
}

const eventKinds: Readonly<Partial<Record<StateEvent['state'], (typeof kinds)[number]>>> = {
  processing: 'started',
  done: 'done',
  failed: 'failed',
};

/** Buckets from 1 ms to ten years; the counts are halved now and then, so that the newest thousands weigh most. */
class DurationBuckets {
  readonly #counts = new Uint32Array(300);
  #total = 0;

  add(ms: number): void {
    const bucket = ms < 1 ? 0 : Math.min(this.#counts.length - 1, 1 + Math.floor(Math.log(ms) / logGrowth));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total += 1;
    if (this.#total >= totalMax) this.#halve();
  }

  percentiles(): Percentiles {
    return { p50: this.#at(0.5), p95: this.#at(0.95), p99: this.#at(0.99) };
  }

  #at(share: number): number {
    if (this.#total === 0) return 0;
    let seen = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= this.#total * share) return bucket === 0 ? 0 : Math.round(Math.exp(bucket * logGrowth));
    }
    return 0;
  }

  #halve(): void {
    this.#total = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      this.#counts[bucket] = count >> 1;
      this.#total += count >> 1;
    }
  }
}

const logGrowth = Math.log(1.1);
const totalMax = 20_000;
