import { type Clock, sleep, within } from '#shared/runtime/clock.ts';
import { type Outcome, notNoted, noted } from './tier-outcome.ts';
import type { TierNote, TierRecord } from './tier-record.ts';

export interface OutageNoteOptions {
  readonly record: TierRecord;
  readonly namespace: string;
  readonly node: string;
  readonly clock: Clock;
  readonly bornMs: () => number;
}

/** Between two tries to write it, in milliseconds. */
const againMs = 100;

/** Keeps what the cluster knows of an outage as it is: one write at a time, until the newest is durable. */
export class OutageNote {
  readonly #options: OutageNoteOptions;
  #former: Promise<TierNote | undefined> | undefined;
  #wanted: boolean | undefined;
  #written: boolean | undefined;
  #isWriting = false;
  #stopped = false;
  #noted = Promise.withResolvers<void>();

  constructor(options: OutageNoteOptions) {
    this.#options = options;
  }

  /** Whether it is durable that there is an outage. */
  get isNoted(): boolean {
    return this.#written === true;
  }

  /**
   * What callers hear whose changes the backend may not have: nothing until the outage is noted, or that it is not.
   * @param msMax how long that may take
   */
  outcome(msMax: number): Promise<Outcome> {
    const isNoted = this.#noted.promise.then(() => noted);
    return within(this.#options.clock, msMax, isNoted, notNoted);
  }

  /** What was noted when this process came to it: read before anything is written over it. */
  former(): Promise<TierNote | undefined> {
    this.#former ??= this.#readFormer().catch((error: unknown) => {
      this.#former = undefined;
      throw error;
    });
    return this.#former;
  }

  async #readFormer(): Promise<TierNote | undefined> {
    const { record, namespace, node, bornMs } = this.#options;
    const note = await record.read(namespace);
    if ((note?.bornMs ?? 0) !== bornMs()) return undefined;
    if (note?.holder === node) this.#written = note.outage;
    if (this.isNoted) this.#noted.resolve();
    return note;
  }

  /** Resolves once it is durable that there is none, or that is no longer wanted; rejects after `msMax`. */
  async ended(msMax: number): Promise<void> {
    const { clock } = this.#options;
    const untilMs = clock.monotonicMs() + msMax;
    while (!this.#stopped && this.#wanted === false && this.#written !== false) {
      if (clock.monotonicMs() >= untilMs) throw new Error('the end of an outage could not be noted in time');
      await sleep(clock, 5);
    }
  }

  want(outage: boolean): void {
    this.#wanted = outage;
    void this.#write();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #write(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    const { record, namespace, node, clock, bornMs } = this.#options;
    while (!this.#stopped && this.#wanted !== undefined && this.#wanted !== this.#written) {
      if ((await this.former().catch(() => 'unread')) === 'unread') {
        await sleep(clock, againMs);
        continue;
      }
      const outage = this.#wanted;
      if (outage === this.#written) {
        if (outage) this.#noted.resolve();
        break;
      }
      // What is noted is not certain until the answer is here; it may never come, though it was written.
      this.#forget();
      try {
        await record.write(namespace, { outage, holder: node, bornMs: bornMs() });
        this.#written = outage;
        if (outage) this.#noted.resolve();
      } catch {
        await sleep(clock, againMs);
      }
    }
    this.#isWriting = false;
  }

  #forget(): void {
    if (this.#written === true) this.#noted = Promise.withResolvers<void>();
    this.#written = undefined;
  }
}
