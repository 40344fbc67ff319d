import { Attendance } from './attendance.ts';
import type { PartitionTable } from './core/partition-table.ts';
import { decideSlots } from './core/schedule-decisions.ts';
import { decideMoreSweeps, decideSweep, decideTime } from './core/time-decisions.ts';
import { Turn } from './core/turn.ts';
import { cronSlots } from './cron-slots.ts';
import { encodeBatch } from './fact-codec.ts';
import { renewFence } from './fence-renewal.ts';
import type { ItemStore } from './item-store.ts';
import { LogGauge } from './log-gauge.ts';
import { type Group, newGroup, prepareTelling, refuseAll, tellOf } from './partition-group.ts';
import { type MessageRoom, messageRoom } from './message-room.ts';
import { PartitionInbox } from './partition-inbox.ts';
import type { PartitionLog } from './partition-log.ts';
import type { PartitionOptions } from './partition-options.ts';
import { logFull, notOwner, outcomeUnknown } from './partition-refusals.ts';
import { Rests } from './rests.ts';
import { ResultLine } from './result-line.ts';
import { TableStoring, type TakenChanges } from './table-storing.ts';
import { WaitingLine, serveWaiters } from './waiting-line.ts';
import { type Answer, type Waiter, type Work, prepared } from './work.ts';

/**
 * How long requests join a group whose record cannot be sent yet: all of them are decided as of the moment at which
 * the group began, and that must not lie far back.
 */
const groupAgeMsMax = 20;

const sweepEveryMs = 10_000;

/** More answers than this take longer to hand to the connection than a write of its own costs. */
const toldAtOnceMax = 64;

/**
 * One partition that this process owns. One record is on its way to the log at a time. Requests that arrive meanwhile
 * are decided at once and gather in a group, which is the next record: one fsync for all of them, and the processor
 * decides while the disk writes. When nothing is under way a request goes at once.
 */
export class Partition {
  readonly #options: PartitionOptions;
  readonly #line: WaitingLine;
  /** Who waits for results. */
  readonly results: ResultLine;
  readonly #storing: TableStoring;
  readonly #rests = new Rests();
  readonly #room: () => MessageRoom;
  readonly #inbox: PartitionInbox;
  readonly #attendance: Attendance;
  /** How long the log is. */
  readonly gauge: LogGauge;
  /** Decided, and waiting until its record can be sent. */
  #open: Group | undefined;
  /** The record on its way, until it is durable. */
  #sent: Promise<void> | undefined;
  /** What stands in that record. */
  #sentGroup: Group | undefined;
  /** The group before that one is being told. */
  #telling = false;
  #pumpScheduled = false;
  #timeIsUp = true;
  #sweptAtMs = 0;
  #cancelTimer: (() => void) | undefined;
  #ended = false;
  /** The table may be ahead of the log: nothing of it may be stored any more. */
  #failed = false;
  #durableIngest: { readonly stream: string; readonly sequence: number };

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.#room = options.room ?? messageRoom;
    this.#inbox = new PartitionInbox(this.#room);
    this.#line = new WaitingLine(options.clock);
    this.#attendance = new Attendance(options.clock);
    this.results = new ResultLine(options.clock, options.table.ends);
    this.#storing = new TableStoring(options);
    this.gauge = new LogGauge(options);
    this.#durableIngest = options.table.applied.ingested;
    this.#noteOutgoing();
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

  get records(): PartitionLog {
    return this.#options.records;
  }

  get logIdentity(): string {
    return this.#options.logIdentity;
  }

  /** False while nothing new should be taken in: the log is filling up, or too much waits. */
  get hasRoom(): boolean {
    return this.gauge.hasRoom('new-items') && this.#inbox.fullness < 0.5;
  }

  /** How far plain publishes of this ingest stream are in the log for good: what stands before may be purged. */
  durableIngestMark(stream: string): number {
    return this.#durableIngest.stream === stream ? this.#durableIngest.sequence : 0;
  }

  /** Takes a request in; it is decided with the next group. */
  submit(work: Work): void {
    const refusal = this.#ended ? notOwner : this.#inbox.add(work);
    if (refusal !== undefined) return work.refuse(refusal);
    this.#wake();
  }

  /** Lets a dequeue that found nothing wait; false when too many do. */
  wait(waiter: Waiter, waitMs: number): boolean {
    return this.#line.join(waiter, waitMs);
  }

  /** Stores what is not stored yet; resolves once it has reached the disk. Requests are decided all the while. */
  async settle(): Promise<void> {
    await this.#storing.settled();
    await this.atRest(() => {
      const taken = this.#storing.takePosition(this.gauge.mark);
      if (taken !== undefined) this.#commit(taken);
      return Promise.resolve();
    });
    await this.#storing.settled();
    if (this.#failed) throw new Error('the rows could not be stored');
    await this.#options.store.flushed();
  }

  /**
   * Raises a fence over the one in force, which may be purged then; whoever can do that owns the partition.
   * @returns the new epoch
   */
  async renewFence(): Promise<number> {
    await this.atRest(async () => {
      const data = await renewFence(this.#options);
      this.gauge.addFence(data);
    });
    return this.#options.table.epoch;
  }

  /** Purges the log and takes note of its new size. Requests are decided all the while. */
  async purgeLog(sequence: number): Promise<void> {
    await this.#options.records.purge(sequence);
    const measured = this.gauge.measure();
    measured((await this.#options.records.describe()).bytes);
    // While there was no room for claims nobody was served, and what became ready then does not come up again.
    this.#line.noteEach(this.table.capacity);
    this.#wake();
  }

  /** Decides what was taken in, stores everything, and ends. */
  async drain(): Promise<void> {
    this.#line.dismiss();
    this.results.dismiss(notOwner);
    const isBusy = (): boolean =>
      this.#sent !== undefined || this.#open !== undefined || !this.#inbox.isEmpty;
    while (isBusy() && !this.#ended) await (this.#sent ?? this.#storing.settled());
    this.#end();
    if (!this.#failed)
      await this.#storing.finish(this.gauge.mark).catch((error: unknown) => this.#fail(error));
    await this.#options.store.close();
  }

  /** Ends without storing: the partition belongs to somebody else, or this process is in doubt about itself. */
  async abandon(): Promise<void> {
    this.#end();
    await this.#sent;
    await this.#storing.settled();
    await this.#options.store.close();
  }

  #end(): void {
    this.#ended = true;
    this.#cancelTimer?.();
    this.#line.dismiss();
    this.results.dismiss(notOwner);
    // Decided or not: their record was never sent.
    if (this.#open !== undefined) refuseAll(this.#open, notOwner);
    this.#open = undefined;
    this.#inbox.refuseAll(notOwner);
    this.#rests.end();
  }

  /** Does something while no record is under way and nothing is decided. A failure of it ends the ownership. */
  atRest(action: () => Promise<void>): Promise<void> {
    const taken = this.#rests.add(action);
    if (this.#ended) this.#rests.end();
    else this.#wake();
    return taken;
  }

  #wake(): void {
    if (this.#pumpScheduled || this.#ended) return;
    this.#pumpScheduled = true;
    // A microtask: all messages that arrived in one read of the socket make one group.
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  /** Decides what is there, and sends it when nothing is on its way. */
  #pump(): void {
    try {
      while (!this.#ended) {
        this.#fill();
        if (this.#sent !== undefined) break;
        if (this.#open !== undefined) {
          this.#send(this.#open);
          // The connection writes in a microtask: what else waits is decided behind it.
          if (this.#sent !== undefined) return this.#wake();
        } else if (this.#rests.isEmpty) break;
        else this.#await(this.#rests.take());
      }
    } catch (error) {
      this.#fail(error);
    }
    if (this.#sent === undefined) this.#schedule();
  }

  /** Decides what waits in the inbox and what time has changed, as far as it belongs to this group. */
  #fill(): void {
    if (this.#storing.isBehind) return;
    const { clock, table } = this.#options;
    if (this.#open === undefined) {
      const isTimeUp = this.#timeIsUp || (table.nextWakeAt ?? Number.POSITIVE_INFINITY) <= clock.nowMs();
      if (!this.#rests.isEmpty || (this.#inbox.isEmpty && !isTimeUp)) return;
      this.#open = this.#openGroup();
    } else if (this.#inbox.isEmpty || clock.monotonicMs() - this.#open.openedMs > groupAgeMsMax) return;
    const group = this.#open;
    const work = this.#inbox.take(group.work.length, group.bytes, this.#sent === undefined);
    for (const { bytes } of work) group.bytes += bytes;
    this.#decide(group, work);
  }

  #openGroup(): Group {
    const { table, partition, clock, random01 } = this.#options;
    const sequence = table.appliedSequence + 1;
    const turn = new Turn({ table, partition, at: clock.nowMs(), sequence, random01 });
    // True when time has more to change already.
    this.#timeIsUp = decideTime(turn);
    this.#timeIsUp = this.#sweepWhenDue(turn) || this.#timeIsUp;
    const slots = decideSlots(turn, {
      slots: this.#options.slots ?? cronSlots,
      attendedSince: this.#attendance.since(),
      hasRoom: this.gauge.hasRoom('new-items'),
    });
    this.#timeIsUp = slots.more || this.#timeIsUp;
    return newGroup(turn, clock.monotonicMs(), slots.bytes);
  }

  #decide(group: Group, work: readonly Work[]): void {
    const { table, clock } = this.#options;
    const { turn, answers } = group;
    turn.hearTime(clock.nowMs());
    turn.mayClaim = this.gauge.hasRoom('claims');
    turn.replyBytesMax = this.#room().replyBytesMax;
    for (const one of work) {
      group.work.push(one);
      if (this.gauge.hasRoom(one.room)) answers.push(one.decide(turn));
      else answers.push(() => one.refuse(logFull));
    }
    const events = table.takeEvents();
    if (turn.mayClaim) serveWaiters(this.#line, turn, events, answers);
    else table.capacity.take(turn.at);
    // One by one: a group may hold more of them than a call takes arguments.
    for (const some of [events, table.takeEvents()]) for (const event of some) group.events.push(event);
    for (const answer of this.results.serve()) answers.push(answer);
    group.served.push(...this.#line.takeServed(), ...this.results.takeServed());
  }

  /** Closes the group and sends its record; without facts there is nothing to send, and it is answered at once. */
  #send(group: Group): void {
    this.#open = undefined;
    const { turn, answers } = group;
    if (turn.facts.length === 0 && !this.#mustProve(answers)) {
      for (const answer of answers) prepared(answer)();
      return;
    }
    const { table, clock, records, appended } = this.#options;
    const { facts, at, sequence } = turn;
    const { epoch } = table;
    const batch = encodeBatch({ version: 3, epoch, at, facts });
    this.gauge.addBatch(batch);
    table.advance(sequence, at);
    const { ingested } = table.applied;
    const taken = this.#storing.takeWhenDue(this.gauge.mark);
    const record = async (): Promise<void> => {
      const startedMs = clock.monotonicMs();
      const stored = await records.append(batch, { epoch, lastSequence: sequence - 1 });
      if (stored !== sequence) throw new Error(`record ${sequence} was stored as ${stored}`);
      appended?.(clock.monotonicMs() - startedMs, facts.length);
    };
    const answered = async (): Promise<void> => {
      await record().catch((error: unknown) => {
        refuseAll(group, outcomeUnknown);
        throw error;
      });
      this.#durableIngest = ingested;
      this.#sentGroup = undefined;
      // The next record first: the disk writes it while this one is answered, and its rows are stored.
      this.#telling = true;
      this.#goOn();
      // Few answers go out in one write with it; before many the connection writes, in a microtask.
      if (this.#sent !== undefined && answers.length > toldAtOnceMax) await Promise.resolve();
      tellOf(group, this.#options, () => this.#noteOutgoing());
      this.#telling = false;
      if (taken !== undefined) this.#commit(taken);
      this.#prepareSent();
    };
    this.#sentGroup = group;
    this.#await(answered());
    // The connection's own microtask is in the queue by now: behind it, while the disk writes.
    if (!this.#telling) queueMicrotask(() => this.#prepareSent());
  }

  /** Nothing is sent while `step` is under way, unless it goes on itself; its failure ends the ownership. */
  #await(step: Promise<void>): void {
    const sent = step
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        if (this.#sent === sent) this.#goOn();
      });
    this.#sent = sent;
  }

  #goOn(): void {
    this.#sent = undefined;
    this.#pump();
  }

  /** Puts together what the world will hear of the record that is on its way. */
  #prepareSent(): void {
    if (this.#sentGroup !== undefined && !this.#ended) prepareTelling(this.#sentGroup, this.#options);
  }

  #noteOutgoing(): void {
    const outgoing = this.#options.table.takeOutgoing();
    if (outgoing !== undefined) this.#options.outgoing?.(this.#options.partition, outgoing);
  }

  /**
   * A former owner that does not know it yet would answer questions and refusals from its old table. When the lease is
   * not fresh, an empty record is appended first: whoever has been fenced learns it there.
   */
  #mustProve(answers: readonly Answer[]): boolean {
    return answers.length > 0 && this.#options.holds?.() === false;
  }

  /** True when more is to be swept than one record has room for. */
  #sweepWhenDue(turn: Turn): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#sweptAtMs < sweepEveryMs) return decideMoreSweeps(turn);
    this.#sweptAtMs = nowMs;
    decideSweep(turn);
    this.#options.forgot?.(turn.table.tidy(turn.at));
    return turn.table.unswept.size > 0;
  }

  #commit(taken: TakenChanges): void {
    this.#storing.commit(taken).then(
      () => this.#wake(),
      (error: unknown) => this.#fail(error),
    );
  }

  /** A failed append or commit leaves the table ahead of what is durable: it is thrown away, never repaired. */
  #fail(error: unknown): void {
    this.#failed = true;
    if (this.#ended) return;
    this.#end();
    this.#options.lost(error);
  }

  /** Wakes up by itself: for what time changes, and to store what the last records left. */
  #schedule(): void {
    this.#cancelTimer?.();
    if (this.#ended) return;
    const { clock, table } = this.#options;
    const wakeInMs = table.nextWakeAt === undefined ? sweepEveryMs : table.nextWakeAt - clock.nowMs();
    const delayMs = Math.min(wakeInMs, this.#storing.dueInMs ?? sweepEveryMs, sweepEveryMs);
    this.#cancelTimer = clock.after(Math.max(1, delayMs), () => this.#wakeUp(delayMs));
  }

  #wakeUp(delayMs: number): void {
    if (this.#sent !== undefined || this.#open !== undefined) return;
    const taken = this.#storing.takeWhenDue(this.gauge.mark);
    if (taken !== undefined) this.#commit(taken);
    if (delayMs === sweepEveryMs) this.#timeIsUp = true;
    this.#pump();
  }
}
