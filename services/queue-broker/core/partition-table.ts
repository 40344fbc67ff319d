import type { Applied } from './applied.ts';
import { CapacityIndex } from './capacity-index.ts';
import type { Claimed, Completed, Fact, Fence } from './facts.ts';
import type { EndWatch } from './end-watch.ts';
import type { Item, Lease } from './item.ts';
import { applyEdit } from './item-edits.ts';
import { type Outgoing, FlowTable } from './flow-table.ts';
import { ForgottenQueues } from './forgotten-queues.ts';
import { type NumberedLine, readLines } from './item-logs.ts';
import { ItemTable } from './item-table.ts';
import { type Changes, Overlay, type RowReader } from './overlay.ts';
import { type QueueCounters, keepCounters, loadCounters } from './queue-counters.ts';
import type { QueueIndex } from './queue-index.ts';
import { queueRecordKey, readQueueRecord } from './queue-records.ts';
import { keepWindows, readRateRecord } from './rate-records.ts';
import type { QueueSettings } from './queue-settings.ts';
import { ScheduleTable } from './schedule-table.ts';
import type { StateEvent } from './state-event.ts';
import type { TransitionTable } from './transition-table.ts';

/**
 * The table of one partition: what all facts of the log add up to. Facts are applied in the order of the log, at
 * once when they are decided and again when they are replayed; both give the same table, since nothing here reads
 * a clock or draws a number. What was applied and then not committed is thrown away with the whole table.
 */
export class PartitionTable {
  readonly #overlay: Overlay;
  readonly #items: ItemTable;
  /** What is known of flows besides their items. */
  readonly flows: FlowTable;
  /** Settings of a queue that was never configured. */
  readonly defaults: QueueSettings;
  readonly schedules: ScheduleTable;
  /** When time alone lets a queue at a limit hand out more. */
  readonly capacity = new CapacityIndex();
  readonly #lookup = (order: number): Item | undefined => this.#items.item(order);
  readonly #forgotten: ForgottenQueues;
  #applied: Applied;

  constructor(options: {
    readonly rows: RowReader;
    readonly transitions: TransitionTable;
    readonly defaults: QueueSettings;
    readonly applied: Applied;
  }) {
    this.#overlay = new Overlay(options.rows);
    this.#forgotten = new ForgottenQueues(this.#overlay);
    this.flows = new FlowTable(this.#overlay);
    this.schedules = new ScheduleTable(this.#overlay);
    this.#items = new ItemTable({ ...options, overlay: this.#overlay, flows: this.flows });
    this.defaults = options.defaults;
    this.#applied = options.applied;
  }

  // Reading.

  get applied(): Applied {
    const { nextOrder, nextReadyOrder } = this.#items;
    return { ...this.#applied, nextOrder, nextReadyOrder };
  }

  /** Time of the last record; time never runs behind it. */
  get appliedAt(): number {
    return this.#applied.at;
  }

  get appliedSequence(): number {
    return this.#applied.sequence;
  }

  get epoch(): number {
    return this.#applied.epoch;
  }

  /** The order that the next item gets. */
  get nextOrder(): number {
    return this.#items.nextOrder;
  }

  item(order: number): Item | undefined {
    return this.#items.item(order);
  }

  payload(order: number): Uint8Array | undefined {
    return this.#items.item(order)?.inline ?? this.#overlay.payload(order);
  }

  /** The payload of an item that is at hand. */
  payloadOf(item: Item): Uint8Array | undefined {
    return item.inline ?? this.#overlay.payload(item.order);
  }

  /** The item that a key stands for at `nowMs`, or undefined. */
  duplicateOf(queue: string, key: string, nowMs: number): number | undefined {
    const entry = this.#overlay.dedup(queue, key);
    if (entry === undefined || entry.until <= nowMs) return undefined;
    return this.#forgotten.isOld(queue, entry.order) ? undefined : entry.order;
  }

  queue(name: string): QueueIndex | undefined {
    return this.#items.queues.get(name);
  }

  get queues(): ReadonlyMap<string, QueueIndex> {
    return this.#items.queues;
  }

  /** The settings in effect for a queue, known or not. */
  settingsOf(queue: string): QueueSettings {
    return this.#items.queues.get(queue)?.settings ?? this.defaults;
  }

  /** Items whose end somebody waits for. */
  get ends(): EndWatch {
    return this.#items.ends;
  }

  /** Items in processing. */
  get leased(): ReadonlyMap<number, Item> {
    return this.#items.leased;
  }

  /** The items of a claim, whatever became of them, or undefined. */
  claimed(claim: string): readonly number[] | undefined {
    return this.#items.claimed(claim);
  }

  /** The item that `dequeue` would hand out next. */
  nextReady(queue: QueueIndex, nowMs: number): Item | undefined {
    return queue.next(this.#lookup, nowMs);
  }

  oldestReadyAt(queue: QueueIndex): number | undefined {
    return queue.oldestReadyAt(this.#lookup);
  }

  /** When time will change something next, or undefined. May be early, never late. */
  get nextWakeAt(): number | undefined {
    const itemsAt = earliest(this.#items.nextWakeAt, this.capacity.nextAt);
    return earliest(itemsAt, this.schedules.nextAt);
  }

  /** Queues whose retention the last records could not catch up with. */
  get unswept(): ReadonlySet<string> {
    return this.#items.unswept;
  }

  /**
   * Gives back memory that nothing needs any more. Changes nothing that anybody could ask for.
   * @returns the queues of which nothing was left
   */
  tidy(nowMs: number): readonly string[] {
    return this.#items.tidy(nowMs, (queue) => this.schedules.of(queue).size > 0);
  }

  /** Takes out the items that time changes at `nowMs`, at most `max` of them. */
  takeWoken(nowMs: number, max: number): readonly Item[] {
    return this.#items.takeWoken(nowMs, max);
  }

  /** The lines logged for an item whose numbers are above `after`, ascending. */
  logLines(item: Item, after: number): Iterable<NumberedLine> {
    return readLines(this.#overlay, item, after);
  }

  // Writing.

  /**
   * Applies one fact.
   * @param at    time of its batch, epoch milliseconds
   * @param token sequence of its batch in the log
   */
  apply(fact: Fact, at: number, token: number): void {
    const items = this.#items;
    items.beginRecord(token);
    switch (fact.kind) {
      case 'enqueued':
        if (fact.key !== undefined && fact.dedupUntil !== undefined)
          this.#overlay.putDedup(fact.queue, fact.key, { order: fact.order, until: fact.dedupUntil });
        if (fact.member !== undefined) this.flows.admit(fact, fact.member);
        return items.enqueue(fact, at);
      case 'claimed':
        return this.#claim(fact, at, token);
      case 'completed':
        return this.#complete(fact, at);
      case 'failed':
        this.#countersOf(fact.order).countFailure(fact.error.type ?? 'Error');
        items.step(fact.order, 'FAIL', {
          at,
          why: 'failed',
          settledBy: 'fail',
          error: fact.error,
          mayRetry: fact.mayRetry,
          runAt: fact.nextAttemptAt,
        });
        return undefined;
      case 'extended':
        return this.#extend(fact.order, fact.leaseMs, fact.progress, at);
      case 'logged':
        return items.log(fact.order, fact.lines, at);
      case 'released':
        items.step(fact.order, 'RELEASE', { at, why: 'released', settledBy: 'release', runAt: fact.runAt });
        return undefined;
      case 'lease-expired':
        if (fact.why === 'lease_expired') this.#countersOf(fact.order).countExpiredLease();
        this.#countersOf(fact.order).countFailure(fact.why);
        items.step(fact.order, 'LEASE_EXPIRE', {
          at,
          why: fact.why,
          mayRetry: fact.mayRetry,
          error: {
            message: fact.why === 'timeout' ? 'the attempt ran too long' : 'the lease expired',
            type: fact.why,
          },
        });
        return undefined;
      case 'due':
        for (const order of fact.orders) items.step(order, 'DUE', { at, why: 'due' });
        return undefined;
      case 'expired':
        for (const order of fact.orders) items.step(order, 'EXPIRE', { at, why: 'expired' });
        return undefined;
      case 'cancelled':
        items.step(fact.order, 'CANCEL', { at, why: 'cancelled' });
        return undefined;
      case 'replayed':
        for (const order of fact.orders) items.step(order, 'REPLAY', { at, why: 'replayed' });
        return undefined;
      case 'reprioritized':
        return items.reprioritize(fact.order, fact.band);
      case 'updated':
      case 'replaced':
        return applyEdit(items, this.#overlay, fact, at);
      case 'ingested':
        this.#applied = { ...this.#applied, ingested: { stream: fact.stream, sequence: fact.sequence } };
        return undefined;
      case 'queue-paused':
        items.index(fact.queue).paused = fact.paused;
        return this.#keepQueue(fact.queue);
      case 'configured':
        items.configure(fact.queue, fact.settings, at);
        return this.#keepQueue(fact.queue);
      case 'schedule-set':
        items.index(fact.queue);
        return this.schedules.set(fact);
      case 'schedule-removed':
        return this.schedules.remove(fact);
      case 'slot-passed':
        return this.schedules.pass(fact);
      case 'swept':
        return items.sweep(items.index(fact.queue), at);
      case 'purged':
        for (const order of fact.orders) items.purge(items.known(order));
        return undefined;
      case 'queue-forgotten':
        return this.#forgetQueue(fact.queue, at);
      case 'unblocked':
        return items.unblock(fact.orders, at);
      case 'child-failed':
        this.#countersOf(fact.order).countFailure('child_failed');
        return items.failParent(fact, at);
      case 'flow-begun':
      case 'flow-placed':
      case 'flow-released':
      case 'flow-closed':
      case 'child-ended':
      case 'endings-reported':
      case 'cascade-begun':
      case 'cascade-ended':
        return this.flows.apply(fact, at);
    }
  }

  /** Applies the claim of one item: what a `claimed` fact does for each of its orders. @returns it as it is then */
  claim(item: Item, lease: Lease, at: number, token: number): Item {
    return this.#items.claim(item, lease, at, token);
  }

  /** Notes that the record at `sequence` has been applied in full. */
  advance(sequence: number, at: number): void {
    this.#applied = { ...this.#applied, sequence, at: Math.max(at, this.#applied.at) };
  }

  /** A fence: its sequence is the epoch. With a new owner leases begin anew. */
  beginEpoch(sequence: number, fence: Fence): void {
    const at = Math.max(fence.at, this.#applied.at);
    this.#applied = { ...this.#applied, sequence, at, epoch: sequence };
    if (fence.renewed !== true) this.#items.renewLeases(at);
  }

  /** Takes in one stored item at start: indexes it, changes nothing. `loaded` follows the last one. */
  load(item: Item): void {
    this.#items.load(item);
  }

  /** Takes in one stored record at start. Before the items: a queue's settings must be known. */
  loadRecord(key: string, value: object): void {
    if (this.flows.load(key, value)) return;
    if (this.#forgotten.load(key, value)) return;
    if (this.schedules.load(key, value)) return;
    if (loadCounters(key, value, (queue) => this.#items.index(queue).counters)) return;
    const window = readRateRecord(key, value);
    if (window !== undefined) {
      const { queue, group, number, stored } = window;
      this.#items.index(queue).loadWindow(group)?.load(number, stored);
      return;
    }
    const record = readQueueRecord(key, value);
    if (record === undefined) return;
    const queue = this.#items.index(record.queue);
    queue.paused = record.paused;
    queue.configure(record.settings, []);
  }

  /** Puts what was loaded in the order of the stored items into the order in which it counts. */
  loaded(): void {
    for (const queue of this.schedules.queues) this.#items.index(queue);
    this.#items.loaded();
  }

  /** For whom something has come up since the last call, or undefined. It may not be durable yet. */
  takeOutgoing(): Outgoing | undefined {
    return this.flows.takeOutgoing();
  }

  // Storing.

  get changeCount(): number {
    return this.#overlay.changeCount;
  }

  /** Hands over what is to be stored, with how far it goes. Until `stored` is called it is still read from here. */
  takeChanges(): { readonly changes: Changes; readonly applied: Applied } {
    keepWindows(this.#items.changedWindows, this.#overlay);
    keepCounters(this.#items.changedCounters, this.#overlay);
    return { changes: this.#overlay.take(), applied: this.applied };
  }

  stored(): void {
    this.#overlay.stored();
  }

  /** The changes of state since the last call, in order. */
  takeEvents(): readonly StateEvent[] {
    return this.#items.takeEvents();
  }

  #claim(fact: Claimed, at: number, token: number): void {
    const lease = leaseOf(fact, at);
    for (const order of fact.orders) this.#items.claim(this.#items.known(order), lease, at, token);
  }

  #complete({ orders, result }: Completed, at: number): void {
    for (const order of orders)
      this.#items.step(order, 'COMPLETE', { at, why: 'completed', settledBy: 'complete', result });
  }

  #extend(order: number, leaseMs: number, progress: Uint8Array | undefined, at: number): void {
    const { lease } = this.#items.known(order);
    if (lease === undefined) throw new Error(`item ${order} has no lease to extend`);
    const extended = { ...lease, leaseMs, expiresAt: at + leaseMs };
    this.#items.step(order, 'EXTEND', { at, why: 'extended', lease: extended, progress });
  }

  #keepQueue(name: string): void {
    const { paused, stored } = this.#items.index(name);
    const isDefault = !paused && Object.keys(stored).length === 0;
    this.#overlay.putRecord(queueRecordKey(name), isDefault ? null : { paused, settings: stored });
  }

  #forgetQueue(name: string, at: number): void {
    const index = this.#items.index(name);
    const keysForMs = Math.max(index.settings.dedupWindowMs, this.defaults.dedupWindowMs);
    this.#forgotten.forget(name, this.nextOrder, at, keysForMs);
    // First back to the defaults: then nothing is left of its limits.
    index.paused = false;
    this.#items.configure(name, {}, at);
    this.#keepQueue(name);
    this.schedules.removeAll(name);
    this.#items.forget(name);
  }

  #countersOf(order: number): QueueCounters {
    return this.#items.index(this.#items.known(order).queue).counters;
  }
}

/** The lease that a claim gives to each of its items. */
export const leaseOf = (
  claim: { readonly leaseMs: number; readonly worker?: string; readonly claim?: string },
  at: number,
): Lease => ({
  leaseMs: claim.leaseMs,
  expiresAt: at + claim.leaseMs,
  worker: claim.worker,
  claim: claim.claim,
});

const earliest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
