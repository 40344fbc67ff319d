import { NumberQueue } from './number-queue.ts';
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

/** Columns of a slot's row: its number, then the counts. */
const slotColumn = 0;
const columnOf = { enqueued: 1, started: 2, done: 3, failed: 4 } as const;

/**
 * Counts of the last 15 minutes in slots of 5 seconds, and times in buckets that grow by a tenth each, so that a
 * percentile is exact to ten per cent. Slots in which nothing happened and times that nothing took cost no memory:
 * a queue that was used once is some hundred bytes, a busy one a few kilobytes.
 */
export class QueueFigures {
  readonly #slots = new NumberQueue(1 + kinds.length);
  readonly #waits = new DurationBuckets();
  readonly #runs = new DurationBuckets();
  /** Made with the first item that comes due: most queues never have one. */
  #late: DurationBuckets | undefined;

  /** Counts one change of state at `nowMs`. */
  add(event: StateEvent, nowMs: number): void {
    if (event.waitedMs !== undefined) this.#waits.add(event.waitedMs);
    if (event.ranMs !== undefined) this.#runs.add(event.ranMs);
    if (event.lateMs !== undefined) {
      this.#late ??= new DurationBuckets();
      this.#late.add(event.lateMs);
    }
    const kind = eventKinds[event.state];
    if (!event.isNew && kind === undefined) return;
    this.#begin(Math.floor(nowMs / slotMs));
    if (event.isNew) this.#slots.addToLast(columnOf.enqueued, 1);
    if (kind !== undefined) this.#slots.addToLast(columnOf[kind], 1);
  }

  /** Per second, over the last `minutes`. */
  rates(nowMs: number, minutes: 1 | 5 | 15): Rates {
    const wanted = (minutes * 60_000) / slotMs;
    const current = Math.max(Math.floor(nowMs / slotMs), this.#slots.last(slotColumn) ?? 0);
    const sums = { enqueued: 0, started: 0, done: 0, failed: 0 };
    for (let index = this.#slots.length - 1; index >= 0; index -= 1) {
      if (this.#slots.at(index, slotColumn) <= current - wanted) break;
      for (const kind of kinds) sums[kind] += this.#slots.at(index, columnOf[kind]) / (minutes * 60);
    }
    return sums;
  }

  get waitMs(): Percentiles {
    return this.#waits.percentiles();
  }

  get runMs(): Percentiles {
    return this.#runs.percentiles();
  }

  /** How long after their time delayed items and retries became ready. */
  get lateMs(): Percentiles {
    return this.#late?.percentiles() ?? nothingMeasured;
  }

  /** Makes this slot the last one, unless time ran back, and drops those that are too old. */
  #begin(slot: number): void {
    if (slot <= (this.#slots.last(slotColumn) ?? -1)) return;
    this.#slots.push(slot);
    while ((this.#slots.first(slotColumn) ?? slot) <= slot - slots) this.#slots.shift();
  }
}

const nothingMeasured: Percentiles = { p50: 0, p95: 0, p99: 0 };

const eventKinds: Readonly<Partial<Record<StateEvent['state'], (typeof kinds)[number]>>> = {
  processing: 'started',
  done: 'done',
  failed: 'failed',
};

/** Buckets from 1 ms to ten years; the counts are halved now and then, so that the newest thousands weigh most. */
class DurationBuckets {
  #counts = noBuckets;
  #total = 0;

  add(ms: number): void {
    const bucket = ms < 1 ? 0 : Math.min(bucketsMax - 1, 1 + Math.floor(Math.log(ms) / logGrowth));
    if (bucket >= this.#counts.length) this.#grow(bucket + 1);
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

  #grow(needed: number): void {
    const counts = new Uint32Array(Math.min(bucketsMax, Math.max(needed, this.#counts.length * 2, 16)));
    counts.set(this.#counts);
    this.#counts = counts;
  }

  #halve(): void {
    this.#total = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      this.#counts[bucket] = count >> 1;
      this.#total += count >> 1;
    }
  }
}

const bucketsMax = 300;
const noBuckets = new Uint32Array(0);
const logGrowth = Math.log(1.1);
const totalMax = 20_000;
