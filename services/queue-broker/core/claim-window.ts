import { NumberQueue } from './number-queue.ts';
import type { RateLimit } from './queue-settings.ts';

const columns = { at: 0, claims: 1 } as const;

/** Runs in one stored record: a busy window is written again in parts, not as a whole. */
const runsPerRecord = 128;

/** The part of a window that one record holds. */
export interface StoredRuns {
  /** Number of its first run; runs are counted from the window's beginning. */
  readonly first: number;
  /** at, claims, at, claims, … */
  readonly runs: readonly number[];
}

/**
 * When the newest claims were made, in the log's time: what a rate limit is judged by. Claims of one moment are one
 * run of 16 bytes; those that have left the window are dropped. What it holds is stored, since the window must be
 * the same after a restart.
 */
export class ClaimWindow {
  readonly queue: string;
  /** undefined: of the whole queue. */
  readonly group: string | undefined;
  readonly #runs = new NumberQueue(2);
  #claims = 0;
  /** Number of the first run that is kept, of the first that is not stored as it is now, and which records there are. */
  #firstRun = 0;
  #changedFrom = 0;
  #recordsFrom = 0;
  #recordsTo = 0;

  constructor(queue: string, group: string | undefined) {
    this.queue = queue;
    this.group = group;
  }

  /** Notes a claim. Time never runs back in the log. */
  add(at: number): void {
    const last = this.#firstRun + this.#runs.length;
    if (this.#runs.last(columns.at) === at) {
      this.#runs.addToLast(columns.claims, 1);
      this.#changedFrom = Math.min(this.#changedFrom, last - 1);
    } else {
      this.#runs.push(at, 1);
      this.#changedFrom = Math.min(this.#changedFrom, last);
    }
    this.#claims += 1;
  }

  /** Drops the claims that a window which ends at `nowMs` does not reach. */
  prune(nowMs: number, perMs: number): void {
    for (;;) {
      const at = this.#runs.first(columns.at);
      if (at === undefined || at + perMs > nowMs) return;
      this.#claims -= this.#runs.first(columns.claims) ?? 0;
      this.#runs.shift();
      this.#firstRun += 1;
      this.#changedFrom = Math.max(this.#changedFrom, this.#firstRun);
    }
  }

  /** True when it holds as many claims as it may, as far as it has been pruned. */
  isFull(limit: RateLimit): boolean {
    return this.#claims >= limit.count;
  }

  /** When its first claim leaves it; undefined when it holds none. */
  movesAt(perMs: number): number | undefined {
    const first = this.#runs.first(columns.at);
    return first === undefined ? undefined : first + perMs;
  }

  /** Time of its newest claim, or undefined. */
  get newestAt(): number | undefined {
    return this.#runs.last(columns.at);
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  /** Forgets all claims. */
  clear(): void {
    this.#firstRun += this.#runs.length;
    this.#changedFrom = this.#firstRun;
    this.#runs.clear();
    this.#claims = 0;
  }

  /** Takes in one stored record. `loaded` follows the last one. */
  load(number: number, { first, runs }: StoredRuns): void {
    this.#firstRun = this.#runs.length === 0 ? first : Math.min(this.#firstRun, first);
    this.#recordsFrom = this.#recordsTo === 0 ? number : Math.min(this.#recordsFrom, number);
    this.#recordsTo = Math.max(this.#recordsTo, number + 1);
    for (let index = 0; index < runs.length; index += 2) {
      this.#runs.push(runs[index] ?? 0, runs[index + 1]);
      this.#claims += runs[index + 1] ?? 0;
    }
  }

  loaded(): void {
    this.#runs.sortBy(columns.at);
    this.#changedFrom = this.#firstRun + this.#runs.length;
  }

  /** Hands over the records that have changed since the last time; null removes. */
  takeRecords(put: (number: number, record: StoredRuns | null) => void): void {
    const end = this.#firstRun + this.#runs.length;
    const from = this.isEmpty ? Math.ceil(end / runsPerRecord) : Math.floor(this.#firstRun / runsPerRecord);
    const to = this.isEmpty ? from : Math.ceil(end / runsPerRecord);
    for (let number = this.#recordsFrom; number < Math.min(from, this.#recordsTo); number += 1)
      put(number, null);
    for (let number = Math.max(from, Math.floor(this.#changedFrom / runsPerRecord)); number < to; number += 1)
      put(number, this.#record(number, end));
    this.#recordsFrom = from;
    this.#recordsTo = to;
    this.#changedFrom = end;
  }

  #record(number: number, end: number): StoredRuns {
    const first = Math.max(this.#firstRun, number * runsPerRecord);
    const runs: number[] = [];
    for (let run = first; run < Math.min(end, (number + 1) * runsPerRecord); run += 1) {
      const index = run - this.#firstRun;
      runs.push(this.#runs.at(index, columns.at), this.#runs.at(index, columns.claims));
    }
    return { first, runs };
  }
}
