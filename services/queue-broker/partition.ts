import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Refusal } from '#shared/protocol/errors.ts';
import type { Fact } from './core/facts.ts';
import type { PartitionTable } from './core/partition-table.ts';
import type { StateEvent } from './core/state-event.ts';
import { decideMoreSweeps, decideSweep, decideTime } from './core/time-decisions.ts';
import { Turn } from './core/turn.ts';
import { encodeBatch } from './fact-codec.ts';
import { renewFence } from './fence-renewal.ts';
import type { ItemStore } from './item-store.ts';
import { LogGauge } from './log-gauge.ts';
import type { PartitionLog } from './partition-log.ts';
import type { Recovered } from './partition-recovery.ts';
import { Rests } from './rests.ts';
import { ResultLine } from './result-line.ts';
import { WaitingLine } from './waiting-line.ts';
import type { AfterCommit, Waiter, Work } from './work.ts';

export interface PartitionOptions extends Recovered {
  readonly partition: number;
  /** Name of this broker: it stands in the fences. */
  readonly broker: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly records: PartitionLog;
  readonly store: ItemStore;
  readonly random01: () => number;
  /** Hears of changes of state once they are durable. */
  readonly announce: (partition: number, events: readonly StateEvent[], at: number) => void;
  /** Hears how long a record took to become durable, and how many facts it held. */
  readonly appended?: (durationMs: number, facts: number) => void;
  /** Whether the lease is fresh; without it nothing is answered that the log has not confirmed. Default: it is. */
  readonly holds?: () => boolean;
  /** The ownership has ended: the table is not to be trusted any more. Called once. */
  readonly lost: (error: unknown) => void;
}

/** Bytes and requests of one group: small enough for one message, large enough to share an fsync among thousands. */
const groupBytesMax = 4 * 1_048_576;
const groupWorkMax = 4_096;

/** What one request may add to the log: below NATS's `max_payload`, with room for what time and waiters add. */
const recordBytesMax = 7.5 * 1_048_576;

/** What may wait to be decided: beyond it callers are told to come again. */
const inboxBytesMax = 128 * 1_048_576;
const inboxWorkMax = 200_000;

/** How far the rows may be behind the log: in time while there is traffic, and in items before a turn waits. */
const storeEveryMs = 40;
const unstoredItemsMax = 50_000;

const sweepEveryMs = 10_000;

/**
 * One partition that this process owns. Requests gather while an append is under way and go into the next one as a
 * group: one record, one fsync, for all of them. When nothing is under way a request goes at once.
 */
export class Partition {
  readonly #options: PartitionOptions;
  readonly #line: WaitingLine;
  /** Who waits for results. */
  readonly results: ResultLine;
  readonly #rests = new Rests();
  /** How long the log is. */
  readonly gauge: LogGauge;
  #inbox: Work[] = [];
  #inboxBytes = 0;
  #running: Promise<void> | undefined;
  #storing: Promise<void> | undefined;
  #storedAtMs = 0;
  #sweptAtMs = 0;
  #cancelTimer: (() => void) | undefined;
  #ended = false;
  /** The table may be ahead of the log: nothing of it may be stored any more. */
  #failed = false;
  #durableIngest: { readonly stream: string; readonly sequence: number };

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#line = new WaitingLine(options.clock);
    this.results = new ResultLine(options.clock, options.table.ends);
    this.gauge = new LogGauge(options);
    this.#durableIngest = options.table.applied.ingested;
    this.#schedule();
  }

  get table(): PartitionTable {
    return this.#options.table;
  }

  get store(): ItemStore {
    return this.#options.store;
  }

  get waiting(): WaitingLine {
    return this.#line;
  }

  /** False while nothing new should be taken in: the log is filling up, or too much waits. */
  get hasRoom(): boolean {
    const waits = Math.max(this.#inboxBytes / inboxBytesMax, this.#inbox.length / inboxWorkMax);
    return this.gauge.hasRoom('new-items') && waits < 0.5;
  }

  get records(): PartitionLog {
    return this.#options.records;
  }

  get logIdentity(): string {
    return this.#options.logIdentity;
  }

  /** How far plain publishes of this ingest stream are in the log for good: what stands before may be purged. */
  durableIngestMark(stream: string): number {
    return this.#durableIngest.stream === stream ? this.#durableIngest.sequence : 0;
  }

  /** Takes a request in; it is decided with the next group. */
  submit(work: Work): void {
    if (this.#ended) return work.refuse(notOwner);
    if (work.bytes > recordBytesMax) return work.refuse(tooLarge);
    if (this.#inbox.length >= inboxWorkMax || this.#inboxBytes > inboxBytesMax) return work.refuse(tooBusy);
    this.#inbox.push(work);
    this.#inboxBytes += work.bytes;
    this.#wake();
  }

  /** Lets a dequeue that found nothing wait; false when too many do. */
  wait(waiter: Waiter, waitMs: number): boolean {
    return this.#line.join(waiter, waitMs);
  }

  /** Stores what is not stored yet; resolves once it has reached the disk. Requests are decided all the while. */
  async settle(): Promise<void> {
    await this.#storing;
    await this.#atRest(async () => {
      if (this.#storing === undefined) void this.#store();
    });
    await this.#storing;
    if (this.#failed) throw new Error('the rows could not be stored');
    await this.#options.store.flushed();
  }

  /**
   * Raises a fence over the one in force, which may be purged then; whoever can do that owns the partition.
   * @returns the new epoch
   */
  async renewFence(): Promise<number> {
    await this.#atRest(async () => {
      const data = await renewFence(this.#options);
      this.gauge.addFence(data);
    });
    return this.#options.table.epoch;
  }

  /** Purges the log and takes note of its new size. Requests are decided all the while. */
  async purgeLog(sequence: number): Promise<void> {
    await this.#options.records.purge(sequence);
    const { appendedBytes } = this.gauge;
    const { bytes } = await this.#options.records.describe();
    this.gauge.measured(bytes, appendedBytes);
  }

  /** Decides what was taken in, stores everything, and ends. */
  async drain(): Promise<void> {
    this.#line.dismiss();
    this.results.dismiss(notOwner);
    while (this.#running !== undefined) await this.#running;
    this.#end();
    await this.#storing;
    if (!this.#failed && this.#options.table.changeCount > 0) await this.#store();
    await this.#options.store.close();
  }

  /** Ends without storing: the partition belongs to somebody else, or this process is in doubt about itself. */
  async abandon(): Promise<void> {
    this.#end();
    await this.#running;
    await this.#storing?.catch(() => undefined);
    await this.#options.store.close();
  }

  #end(): void {
    this.#ended = true;
    this.#cancelTimer?.();
    this.#line.dismiss();
    this.results.dismiss(notOwner);
    for (const work of this.#inbox) work.refuse(notOwner);
    this.#inbox = [];
    this.#inboxBytes = 0;
    this.#rests.end();
  }

  /** Does something while no record is under way and nothing is decided. A failure of it ends the ownership. */
  #atRest(action: () => Promise<void>): Promise<void> {
    const taken = this.#rests.add(action);
    if (this.#ended) this.#rests.end();
    else this.#wake();
    return taken;
  }

  #wake(): void {
    if (this.#running !== undefined || this.#ended) return;
    this.#cancelTimer?.();
    // A microtask: all messages that arrived in one read of the socket make one group.
    this.#running = Promise.resolve()
      .then(() => this.#run())
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#running = undefined;
        // What was submitted between the last look at the inbox and here found a run that was ending.
        if (this.#inbox.length > 0 || !this.#rests.isEmpty) this.#wake();
        else this.#schedule();
      });
  }

  async #run(): Promise<void> {
    let more = true;
    while (!this.#ended && (more || this.#inbox.length > 0)) {
      if (!this.#rests.isEmpty) await this.#rests.take();
      more = await this.#turn();
      if (this.#options.table.changeCount > unstoredItemsMax) await this.#storing;
      this.#storeWhenDue();
    }
  }

  /** One group: decide, append, answer. True when time has more to change already. */
  async #turn(): Promise<boolean> {
    const { table, partition, clock, random01 } = this.#options;
    const { epoch } = table;
    const sequence = table.appliedSequence + 1;
    const turn = new Turn({ table, partition, at: clock.nowMs(), sequence, random01 });
    const more = decideTime(turn);
    const unswept = this.#sweepWhenDue(turn);
    const group = this.#takeGroup();
    const answers = this.#decideGroup(turn, group);
    const events = table.takeEvents();
    this.#serveWaiters(turn, events, answers);
    const claims = table.takeEvents();
    for (const answer of this.results.serve()) answers.push(answer);
    if (turn.facts.length > 0 || this.#mustProve(answers)) {
      await this.#append(turn.facts, turn.at, sequence, epoch).catch((error: unknown) => {
        for (const work of group) work.refuse(outcomeUnknown);
        this.#line.fail(outcomeUnknown);
        this.results.fail(outcomeUnknown);
        throw error;
      });
      this.#options.announce(partition, [...events, ...claims], turn.at);
    }
    this.#line.commit();
    this.results.commit();
    for (const answer of answers) answer();
    return more || unswept;
  }

  async #append(facts: readonly Fact[], at: number, sequence: number, epoch: number): Promise<void> {
    const batch = encodeBatch({ version: 2, epoch, at, facts });
    const startedMs = this.#options.clock.monotonicMs();
    const appended = await this.#options.records.append(batch, { epoch, lastSequence: sequence - 1 });
    if (appended !== sequence) throw new Error(`record ${sequence} was stored as ${appended}`);
    this.#options.appended?.(this.#options.clock.monotonicMs() - startedMs, facts.length);
    this.gauge.addBatch(batch);
    this.#options.table.advance(sequence, at);
    this.#durableIngest = this.#options.table.applied.ingested;
  }

  /**
   * A former owner that does not know it yet would answer questions and refusals from its old table. When the lease is
   * not fresh, an empty record is appended first: whoever has been fenced learns it there.
   */
  #mustProve(answers: readonly AfterCommit[]): boolean {
    return answers.length > 0 && this.#options.holds?.() === false;
  }

  /** Takes what goes into the next record: as much as fits, at least one. */
  #takeGroup(): readonly Work[] {
    let bytes = 0;
    let taken = 0;
    for (const work of this.#inbox) {
      if (taken > 0 && (bytes + work.bytes > groupBytesMax || taken >= groupWorkMax)) break;
      taken += 1;
      bytes += work.bytes;
    }
    const group = this.#inbox.slice(0, taken);
    this.#inbox = taken === this.#inbox.length ? [] : this.#inbox.slice(taken);
    this.#inboxBytes -= bytes;
    return group;
  }

  #decideGroup(turn: Turn, group: readonly Work[]): AfterCommit[] {
    const answers: AfterCommit[] = [];
    for (const work of group) {
      if (this.gauge.hasRoom(work.room)) answers.push(work.decide(turn));
      else answers.push(() => work.refuse(logFull));
    }
    return answers;
  }

  /** Whoever waits at a queue that has something new, or may hand out again, is served in the same record. */
  #serveWaiters(turn: Turn, events: readonly StateEvent[], answers: AfterCommit[]): void {
    const { table } = this.#options;
    const roomy = table.takeRoomy(turn.at);
    if (!this.gauge.hasRoom('claims')) return;
    const served = new Set<string>();
    const serve = (queue: string): void => {
      if (served.has(queue) || !this.#line.has(queue)) return;
      served.add(queue);
      for (const answer of this.#line.serve(queue, turn)) answers.push(answer);
    };
    for (const queue of roomy) serve(queue);
    for (const { queue, state } of events) {
      // At a limit a lease that ended is as good as a new item.
      if (state === 'pending' || table.queue(queue)?.isLimited === true) serve(queue);
    }
  }

  /** @returns true when more than one record has room for is to be swept */
  #sweepWhenDue(turn: Turn): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#sweptAtMs < sweepEveryMs) return decideMoreSweeps(turn);
    this.#sweptAtMs = nowMs;
    decideSweep(turn);
    turn.table.tidy(turn.at);
    return turn.table.unswept.size > 0;
  }

  #storeWhenDue(): void {
    const { clock, table } = this.#options;
    if (this.#storing !== undefined || table.changeCount === 0) return;
    if (clock.monotonicMs() - this.#storedAtMs >= storeEveryMs) void this.#store();
  }

  /** Stores what has changed. Must be called between turns, when everything applied is in the log. */
  #store(): Promise<void> {
    const { table, store, logIdentity, clock } = this.#options;
    const { changes, applied } = table.takeChanges();
    const { mark } = this.gauge;
    const position = { applied, logIdentity, ...(mark === undefined ? {} : { mark }) };
    const finish = async (): Promise<void> => {
      try {
        await store.commit(changes, position);
        table.stored();
        this.#storedAtMs = clock.monotonicMs();
        this.#storing = undefined;
      } catch (error) {
        this.#fail(error);
      }
    };
    this.#storing = finish();
    return this.#storing;
  }

  /** A failed append or commit leaves the table ahead of what is durable: it is thrown away, never repaired. */
  #fail(error: unknown): void {
    this.#failed = true;
    if (this.#ended) return;
    this.#end();
    this.#options.lost(error);
  }

  /** Wakes up by itself: for what time changes, and to store what the last turns left. */
  #schedule(): void {
    if (this.#ended) return;
    const { clock, table } = this.#options;
    const wakeInMs = table.nextWakeAt === undefined ? sweepEveryMs : table.nextWakeAt - clock.nowMs();
    const unstored = table.changeCount > 0;
    const delayMs = Math.max(1, Math.min(wakeInMs, unstored ? storeEveryMs : sweepEveryMs));
    this.#cancelTimer?.();
    this.#cancelTimer = clock.after(delayMs, () => {
      if (this.#running !== undefined) return;
      this.#storeWhenDue();
      if (wakeInMs <= delayMs || delayMs === sweepEveryMs) this.#wake();
      else this.#schedule();
    });
  }
}

const notOwner: Refusal = { code: 'unavailable', message: 'this broker no longer owns the queue, ask again' };
const outcomeUnknown: Refusal = {
  code: 'timeout',
  message: 'the outcome is not known: ask again, with the same key or token',
};
const tooLarge: Refusal = {
  code: 'payload_too_large',
  message: 'what the request becomes does not fit one record of the log, send it in parts',
};
const tooBusy: Refusal = {
  code: 'unavailable',
  message: 'too many requests wait for this queue, ask again later',
};
const logFull: Refusal = {
  code: 'queue_full',
  message: 'the log of this queue is nearly full: finish items first',
};
