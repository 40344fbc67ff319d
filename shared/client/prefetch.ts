import type { QueuePriority } from '#shared/protocol/queue-schemas.ts';
import { priorities } from '#shared/protocol/queue-words.ts';
import type { RunningJob } from './job.ts';

/** What a worker begins in this time at its present pace is worth holding; more would only be kept from others. */
const paceMs = 100;

/**
 * What is leased and not begun: the most urgent first, within a band in the order in which it came; and how much of it
 * is worth holding.
 */
export class Prefetch {
  readonly #max: number;
  readonly #bands: RunningJob[][] = priorities.map(() => []);
  #size = 0;
  #begun = 0;
  #pace = 0;
  /** Where the time in which the pace is taken began. */
  #from = { ms: 0, begun: 0 };

  /** @param max most items to hold */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  /** Jobs that were taken, ever. */
  get begun(): number {
    return this.#begun;
  }

  /** How many to hold now: what is begun in 100 ms, as the last such time has shown. */
  target(nowMs: number): number {
    if (this.#max === 0) return 0;
    const elapsedMs = nowMs - this.#from.ms;
    if (elapsedMs >= paceMs) {
      this.#pace = Math.floor(((this.#begun - this.#from.begun) * paceMs) / elapsedMs);
      this.#from = { ms: nowMs, begun: this.#begun };
    }
    return Math.min(this.#max, this.#pace);
  }

  /** Nothing could be begun for long: all is given up, and nothing held until something is begun again. */
  stall(): RunningJob[] {
    this.#pace = 0;
    return this.giveUp(0);
  }

  add(job: RunningJob): void {
    this.#bands[bandOf(job.priority)]?.push(job);
    this.#size += 1;
  }

  /** The job to begin next. */
  take(): RunningJob | undefined {
    for (const band of this.#bands) {
      const job = band.shift();
      if (job === undefined) continue;
      this.#size -= 1;
      this.#begun += 1;
      return job;
    }
    return undefined;
  }

  /**
   * How many items held here are less urgent than ones that have just become pending.
   * @param events the body of a `pending` event. It is not parsed: every worker hears of every item.
   */
  outranked(events: Uint8Array): number {
    if (this.#size === 0) return 0;
    const text = Buffer.from(events.buffer, events.byteOffset, events.byteLength);
    let outranked = 0;
    for (const [band, priority] of priorities.entries()) {
      const lower = this.#bands.slice(band + 1).reduce((sum, jobs) => sum + jobs.length, 0);
      if (lower <= outranked) break;
      outranked += countOf(text, `"priority":"${priority}"`, lower - outranked);
    }
    return outranked;
  }

  /** Takes out the least urgent ones beyond `kept`, of those the newest first: what is handed back. */
  giveUp(kept: number): RunningJob[] {
    const given: RunningJob[] = [];
    for (const band of this.#bands.toReversed()) {
      while (this.#size > kept) {
        const job = band.pop();
        if (job === undefined) break;
        this.#size -= 1;
        given.push(job);
      }
    }
    return given;
  }

  /** Takes out one job. False when it is not here. */
  remove(job: RunningJob): boolean {
    const band = this.#bands[bandOf(job.priority)];
    const at = band?.indexOf(job) ?? -1;
    if (at < 0) return false;
    band?.splice(at, 1);
    this.#size -= 1;
    return true;
  }
}

const bandOf = (priority: QueuePriority): number => priorities.indexOf(priority);

function countOf(text: Buffer, word: string, most: number): number {
  let count = 0;
  for (let at = text.indexOf(word); at >= 0 && count < most; at = text.indexOf(word, at + 1)) count += 1;
  return count;
}
