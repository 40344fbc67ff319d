import type { Refusal } from '#shared/protocol/errors.ts';
import { dequeueItemsMax } from '#shared/protocol/limits.ts';
import type { LeasedItem } from '#shared/protocol/queue-schemas.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { HeldJobs } from './held-jobs.ts';
import type { RunningJob } from './job.ts';
import type { LoopWatch } from './loop-watch.ts';
import { Prefetch } from './prefetch.ts';
import { briefPause, isTransient } from './asked-again.ts';
import type { WorkerWire } from './worker-wire.ts';

export interface IntakeOptions {
  readonly wire: WorkerWire;
  readonly jobs: HeldJobs;
  readonly watch: LoopWatch;
  readonly clock: Clock;
  readonly concurrency: number;
  readonly prefetch: number;
  /** Whether anything is taken now. */
  readonly takes: () => boolean;
  readonly running: () => number;
  /** Outcomes go out at the end of this turn, and bring items along: nothing has to be asked before. */
  readonly settling: () => boolean;
  readonly begin: (job: RunningJob) => void;
  readonly handBack: (jobs: readonly RunningJob[]) => void;
  /** Hands back what has not become a job. */
  readonly handBackItems: (items: readonly LeasedItem[]) => Promise<void>;
  /** Something is leased that could not be begun at once. */
  readonly onHolding: () => void;
  readonly onFault: (refusal: Refusal) => void;
}

/** What has not begun when nothing has begun for this long is handed to whoever can begin it. */
const stalledMs = 500;
/** Handlers begun in one turn may take this long before outcomes are sent and sockets are read. */
const turnMsMax = 10;
/** After a refusal that asking again is not likely to change. */
const refusedMs = 5_000;

/** How items come in: asked for, held for a moment where that is worth it, begun, or handed back. */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #prefetch: Prefetch;
  /** Items that are asked for and have not come. */
  #asked = 0;
  #waiting = false;
  #beginning = false;
  #stallTimed = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#prefetch = new Prefetch(options.prefetch);
  }

  /** Asks for items and waits for them; one such question is under way at a time. */
  async fetch(): Promise<void> {
    if (this.#waiting || this.#options.settling()) return;
    const max = this.reserve();
    if (max === 0) return;
    this.#waiting = true;
    const reply = await this.#options.wire.dequeue(max);
    this.#waiting = false;
    this.#asked -= max;
    if (reply.ok) await this.#take(reply.value);
    else {
      this.#options.onFault(reply.error);
      const { clock } = this.#options;
      await (isTransient(reply.error) ? briefPause(clock) : sleep(clock, refusedMs));
    }
    void this.fetch();
  }

  /** How many items to bring along with an outcome; `answered` tells what has come of them. */
  reserve(): number {
    const room = this.#options.takes() ? Math.max(0, this.#room()) : 0;
    this.#asked += room;
    return room;
  }

  async answered(reserved: number, next: readonly LeasedItem[]): Promise<void> {
    this.#asked -= reserved;
    await this.#take(next);
    void this.fetch();
  }

  /** Begins what is held, as far as the concurrency goes. */
  begin(): void {
    // A handler that ends at once comes back here while the loop below still runs.
    if (this.#beginning) return;
    this.#beginning = true;
    const { running, concurrency, begin, clock } = this.#options;
    const fromMs = clock.monotonicMs();
    while (running() < concurrency) {
      const job = this.#prefetch.take();
      if (job === undefined) break;
      begin(job);
      if (clock.monotonicMs() - fromMs < turnMsMax) continue;
      setImmediate(() => this.begin());
      break;
    }
    this.#beginning = false;
  }

  /** Hands back all that has not begun. */
  handBack(): void {
    this.#options.handBack(this.#prefetch.giveUp(0));
  }

  /** A job was lost or cancelled. True when it had not begun, and never will. */
  remove(job: RunningJob): boolean {
    return this.#prefetch.remove(job);
  }

  /**
   * Items have become pending: where they are more urgent than what is held here, as many are asked for, and the least
   * urgent handed back for them.
   */
  async makeRoom(events: Uint8Array): Promise<void> {
    const count = this.#prefetch.outranked(events);
    // With a question under way, that brings them.
    if (count === 0 || this.#waiting || !this.#options.takes()) return;
    const kept = this.#prefetch.size;
    this.#asked += count;
    const reply = await this.#options.wire.dequeueNow(Math.min(count, dequeueItemsMax));
    this.#asked -= count;
    if (reply.ok) await this.#take(reply.value);
    this.#options.handBack(this.#prefetch.giveUp(kept));
    // While these counted as asked for, nothing else may have been: all that was held can have ended meanwhile.
    void this.fetch();
  }

  /** Room that nobody has asked to fill. One round of handlers at most: two questions under way beat one twice as large. */
  #room(): number {
    const { concurrency, running, clock } = this.#options;
    const target = this.#prefetch.target(clock.monotonicMs());
    const held = running() + this.#prefetch.size + this.#asked;
    return Math.min(dequeueItemsMax, concurrency, concurrency + target - held);
  }

  async #take(items: readonly LeasedItem[]): Promise<void> {
    if (items.length === 0) return;
    const { jobs, takes, handBackItems } = this.#options;
    const held = this.#options.watch.blocked ? await this.#stillHeld(items) : items;
    if (!takes()) {
      await handBackItems(held);
      return;
    }
    const homeless: LeasedItem[] = [];
    for (const item of held) {
      const job = jobs.add(item);
      if (job === undefined) homeless.push(item);
      else this.#prefetch.add(job);
    }
    this.begin();
    if (this.#prefetch.size > 0) {
      this.#options.onHolding();
      this.#watchStall();
    }
    if (homeless.length > 0) await handBackItems(homeless);
  }

  /** For a reply that has waited while this thread was blocked: who has its items now, only the broker knows. */
  async #stillHeld(items: readonly LeasedItem[]): Promise<readonly LeasedItem[]> {
    const held = await this.#options.wire.stillHeld(items);
    return items.filter((_, index) => held[index] === true);
  }

  /** What cannot be begun soon is not kept: another worker may be idle. */
  #watchStall(): void {
    if (this.#stallTimed || this.#prefetch.size === 0) return;
    this.#stallTimed = true;
    const { begun } = this.#prefetch;
    this.#options.clock.after(stalledMs, () => {
      this.#stallTimed = false;
      if (this.#prefetch.begun === begun) this.#options.handBack(this.#prefetch.stall());
      this.#watchStall();
    });
  }
}
