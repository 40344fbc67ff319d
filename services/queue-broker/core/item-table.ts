import type { Applied } from './applied.ts';
import type { Enqueued } from './facts.ts';
import type { ClaimWindow } from './claim-window.ts';
import { EndWatch } from './end-watch.ts';
import type { ChildFailed, EndState } from './flow-facts.ts';
import type { FlowTable } from './flow-table.ts';
import { type Item, type Lease, isFinal } from './item.ts';
import { type Change, changed } from './item-changes.ts';
import { appendLines, removeLines } from './item-logs.ts';
import type { GuardName, ItemEvent } from './item-machine.ts';
import { newItem } from './new-item.ts';
import type { Overlay } from './overlay.ts';
import { type QueueCounters, countersKey } from './queue-counters.ts';
import { QueueIndex } from './queue-index.ts';
import type { QueueSettings, StoredSettings } from './queue-settings.ts';
import { type SearchedPayload, searchFields } from './search-fields.ts';
import { type StateEvent, stateEvent } from './state-event.ts';
import { type TransitionTable, lookUp } from './transition-table.ts';
import { WakeIndex } from './wake-index.ts';

/** What a fact brings to a step of the machine. */
export interface StepChange extends Change {
  readonly mayRetry?: boolean;
}

/** Finished items that one record of the log sweeps away: a turn must not take seconds. */
const sweptPerRecord = 2_000;
/** And that each finished item sweeps away at least: more than the one that takes its place, so that none pile up. */
const sweptPerFinish = 2;

/**
 * The items of one partition and their indexes: by queue, by lease, by time. Facts change items here and nowhere else,
 * each change through the machine.
 */
export class ItemTable {
  readonly #overlay: Overlay;
  readonly #flows: FlowTable;
  readonly #transitions: TransitionTable;
  readonly #defaults: QueueSettings;
  readonly #queues = new Map<string, QueueIndex>();
  /** Items in processing: looked up on every operation, and few. */
  readonly #leased = new Map<number, Item>();
  readonly #wakes = new WakeIndex();
  readonly #claims = new Map<string, readonly number[]>();
  /** Counters of queues that have to be stored. */
  readonly changedCounters = new Set<QueueCounters>();
  /** Items whose end somebody waits for. */
  readonly ends = new EndWatch();
  /** Windows of rate limits whose records have to be stored. */
  readonly #changedWindows = new Set<ClaimWindow>();
  /** Queues with finished items beyond their retention for which there was no room in the record. */
  readonly #unswept = new Set<string>();
  #events: StateEvent[] = [];
  #record = 0;
  #sweepLeft = sweptPerRecord;
  #nextOrder: number;
  #nextReadyOrder: number;

  constructor(options: {
    readonly overlay: Overlay;
    readonly flows: FlowTable;
    readonly transitions: TransitionTable;
    readonly defaults: QueueSettings;
    readonly applied: Applied;
  }) {
    this.#overlay = options.overlay;
    this.#flows = options.flows;
    this.#transitions = options.transitions;
    this.#defaults = options.defaults;
    this.#nextOrder = options.applied.nextOrder;
    this.#nextReadyOrder = options.applied.nextReadyOrder;
  }

  // Reading.

  get nextOrder(): number {
    return this.#nextOrder;
  }

  get nextReadyOrder(): number {
    return this.#nextReadyOrder;
  }

  item(order: number): Item | undefined {
    return this.#leased.get(order) ?? this.#overlay.item(order);
  }

  /** The item, which the log says is there. */
  known(order: number): Item {
    const item = this.item(order);
    if (item === undefined) throw new Error(`the log speaks of item ${order}, which the table does not have`);
    return item;
  }

  get queues(): ReadonlyMap<string, QueueIndex> {
    return this.#queues;
  }

  get leased(): ReadonlyMap<number, Item> {
    return this.#leased;
  }

  claimed(claim: string): readonly number[] | undefined {
    return this.#claims.get(claim);
  }

  get nextWakeAt(): number | undefined {
    return this.#wakes.nextAt;
  }

  takeWoken(nowMs: number, max: number): readonly Item[] {
    return this.#wakes.take(
      nowMs,
      max,
      (order) => this.item(order),
      (order) => this.#leased.get(order),
    );
  }

  takeEvents(): readonly StateEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** The queue's index, made when it is first used. */
  index(name: string): QueueIndex {
    let index = this.#queues.get(name);
    if (index === undefined) {
      index = new QueueIndex(name, this.#defaults, this.#changedWindows, this.changedCounters);
      this.#queues.set(name, index);
    }
    return index;
  }

  /** Forgets a queue of which nothing is left. */
  forget(name: string): void {
    const queue = this.#queues.get(name);
    if (queue === undefined) return;
    // So that nothing of its rate limits stays stored, nor what was counted.
    queue.configure({}, []);
    this.changedCounters.delete(queue.counters);
    this.#overlay.putRecord(countersKey(name), null);
    this.#queues.delete(name);
    this.#unswept.delete(name);
  }

  get changedWindows(): Set<ClaimWindow> {
    return this.#changedWindows;
  }

  /** Queues that the next record should go on sweeping. */
  get unswept(): ReadonlySet<string> {
    return this.#unswept;
  }

  /**
   * Gives back memory that nothing needs any more.
   * @param isKept  says of a queue that there is more to know of it than its items and settings
   * @returns the queues that it has forgotten
   */
  tidy(nowMs: number, isKept: (queue: string) => boolean): readonly string[] {
    const forgotten = [...this.#queues.values()]
      .filter((queue) => queue.tidy(nowMs) && !isKept(queue.name))
      .map(({ name }) => name);
    for (const queue of forgotten) this.forget(queue);
    return forgotten;
  }

  // Writing.

  /** Takes in one stored item at start: indexes it, changes nothing. `loaded` follows the last one. */
  load(item: Item): void {
    this.index(item.queue).load(item);
    this.#track(item);
  }

  /** Puts what was loaded in the order of the stored items into the order in which it counts. */
  loaded(): void {
    for (const queue of this.#queues.values()) queue.loaded();
  }

  enqueue(fact: Enqueued, at: number): void {
    const transition = lookUp(this.#transitions, 'new', 'ENQUEUE', (guard) => {
      if (guard === 'isRefused') return fact.refused !== undefined;
      if (guard === 'isBlocked') return fact.blocked === true;
      return fact.runAt !== undefined && fact.runAt > at;
    });
    if (transition === undefined) throw new Error('the machine does not admit an item');
    const queue = this.index(fact.queue);
    const admitted = newItem(fact, {
      at,
      readyOrder: this.#takeReadyOrder(),
      state: transition.target,
      fields: searchFields(queue.settings.search, fact),
    });
    if (fact.order >= this.#nextOrder) this.#nextOrder = fact.order + 1;
    if (admitted.inline === undefined) this.#overlay.putPayload(fact.order, fact.payload);
    queue.moved(undefined, admitted);
    this.#put(admitted);
    this.#events.push(stateEvent(undefined, admitted, at));
    if (!isFinal(admitted.state)) return;
    queue.counters.countFailure(fact.refused?.type ?? 'Error');
    queue.counters.countFinished('failed');
    this.sweep(queue, at, sweptPerFinish);
  }

  /**
   * Sends an event through the machine. That the state knows it was decided before: otherwise the log is broken.
   * @returns the item as it is then
   */
  step(order: number, event: ItemEvent, change: StepChange): Item {
    return this.#step(this.known(order), event, change);
  }

  #step(before: Item, event: ItemEvent, change: StepChange): Item {
    const { at } = change;
    const { order } = before;
    const transition = lookUp(this.#transitions, before.state, event, (guard) => holds(guard, change));
    if (transition === undefined)
      throw new Error(`item ${order} is ${before.state} and cannot take ${event}`);
    const readyOrder = this.#takeReadyOrder();
    const after = changed(before, transition, change, readyOrder);
    const queue = this.index(before.queue);
    queue.moved(before, after, event === 'RELEASE');
    this.#leave(before, after);
    this.#put(after, before);
    if (after.state === before.state) return after;
    this.#events.push(stateEvent(before, after, at));
    if (!isFinal(after.state)) return after;
    queue.counters.countFinished(after.state as 'done' | 'failed' | 'cancelled');
    if (this.ends.watches(order)) this.ends.ended(after, after.inline ?? this.#overlay.payload(order));
    if (after.parent !== undefined) this.#flows.end(after, after.parent, after.state as EndState, readyOrder);
    this.sweep(queue, at, sweptPerFinish);
    return after;
  }

  /** Claims an item that is at hand. @returns the item as it is then */
  claim(item: Item, lease: Lease, at: number, token: number): Item {
    return this.#step(item, 'CLAIM', { at, why: 'claimed', token, lease });
  }

  /** Lets items go that waited for their flow or their children: at once, or once their own time has come. */
  unblock(orders: readonly number[], at: number): void {
    for (const order of orders)
      this.step(order, 'UNBLOCK', { at, why: 'unblocked', runAt: this.known(order).runAt });
  }

  /** Fails an item whose child has failed, and says so where the errors of its attempts stand. */
  failParent({ order, error }: ChildFailed, at: number): void {
    const before = this.known(order);
    const attempts = [...before.attempts, { attempt: before.attempt, startedAt: at, endedAt: at, error }];
    this.edit(before, { ...before, attempts });
    this.step(order, 'CHILD_FAIL', { at, why: 'child_failed' });
  }

  /** What is searched of a payload that comes into a queue. */
  fieldsOf(queue: string, payload: SearchedPayload): Item['fields'] {
    return searchFields(this.index(queue).settings.search, payload);
  }

  /** Replaces an item by itself with other fields: an edit, which is no step of the machine. */
  edit(before: Item, after: Item): void {
    this.index(before.queue).moved(before, after);
    this.#put(after, before);
  }

  /** Notes lines that the holder of an item wrote down. */
  log(order: number, lines: readonly string[], at: number): void {
    const before = this.known(order);
    const after = { ...before, logged: appendLines(this.#overlay, before, lines, at) };
    this.index(before.queue).moved(before, after);
    this.#overlay.putItem(after);
    this.#leased.set(order, after);
  }

  /** Moves an item to another band, at its end. */
  reprioritize(order: number, band: number): void {
    const before = this.known(order);
    this.edit(before, { ...before, band, readyOrder: this.#takeReadyOrder() });
  }

  /** Removes an item for good, with the key that stands for it. */
  purge(item: Item): void {
    const { queue, key, order } = item;
    if (key !== undefined && this.#overlay.dedup(queue, key)?.order === order)
      this.#overlay.putDedup(queue, key, null);
    this.remove(item);
  }

  /** Removes an item for good. */
  remove(item: Item): void {
    this.index(item.queue).moved(item, undefined);
    this.#leave(item, undefined);
    if (this.ends.watches(item.order)) this.ends.removed(item.order);
    this.#overlay.remove(item);
    if (item.logged !== undefined) removeLines(this.#overlay, item.order, item.logged);
    if (item.parent !== undefined && !isFinal(item.state))
      this.#flows.end(item, item.parent, 'purged', this.#takeReadyOrder());
    if (item.family !== undefined) this.#flows.forget(item.order);
  }

  /** Says which record of the log the next facts belong to. */
  beginRecord(sequence: number): void {
    if (sequence === this.#record) return;
    this.#record = sequence;
    this.#sweepLeft = sweptPerRecord;
  }

  /** Takes over a queue's settings; a shorter retention holds at once. */
  configure(name: string, settings: StoredSettings, at: number): void {
    const queue = this.index(name);
    queue.configure(
      settings,
      [...this.#leased.values()].filter((item) => item.queue === name),
    );
    this.sweep(queue, at);
  }

  /**
   * Removes finished items past their retention, as many as the record has room for. A function of the table and the
   * batch's time, so replay agrees.
   * @param atLeast this many even if the record has no room left
   */
  sweep(queue: QueueIndex, at: number, atLeast = 0): void {
    for (let removed = 0; this.#sweepLeft > 0 || removed < atLeast;) {
      const overdue = queue.takeOverdue(at);
      if (overdue === undefined) {
        this.#unswept.delete(queue.name);
        return;
      }
      const item = this.item(overdue.order);
      // A replayed item has an entry for each time it finished: only the newest counts.
      if (item === undefined || !isFinal(item.state) || item.readyOrder !== overdue.place) continue;
      this.remove(item);
      removed += 1;
      this.#sweepLeft -= 1;
    }
    if (queue.isOverdue(at)) this.#unswept.add(queue.name);
  }

  /** Leases get their full length again, because the workers had nobody to extend them with while there was no owner. */
  renewLeases(at: number): void {
    for (const item of this.#leased.values()) {
      if (item.lease === undefined) continue;
      this.#put({ ...item, lease: { ...item.lease, expiresAt: at + item.lease.leaseMs } });
    }
  }

  /** Forgets what belongs to a lease that has ended. */
  #leave(before: Item, after: Item | undefined): void {
    if (before.state !== 'processing' || after?.state === 'processing') return;
    this.#leased.delete(before.order);
    const claim = before.lease?.claim;
    if (claim === undefined) return;
    const live = (this.#claims.get(claim) ?? []).filter((order) => order !== before.order);
    if (live.length === 0) this.#claims.delete(claim);
    else this.#claims.set(claim, live);
  }

  #put(item: Item, before?: Item): void {
    this.#overlay.putItem(item);
    this.#track(item, before);
  }

  #track(item: Item, before?: Item): void {
    if (item.state === 'processing') this.#leased.set(item.order, item);
    const claim = item.lease?.claim;
    if (claim !== undefined && this.#claims.get(claim)?.includes(item.order) !== true) {
      this.#claims.set(claim, [...(this.#claims.get(claim) ?? []), item.order]);
    }
    this.#wakes.add(item, before);
  }

  #takeReadyOrder(): number {
    const readyOrder = this.#nextReadyOrder;
    this.#nextReadyOrder += 1;
    return readyOrder;
  }
}

/** The guards of items that are there already; the others are asked when one comes in. */
function holds(guard: GuardName, { mayRetry, runAt, at }: StepChange): boolean {
  if (guard === 'mayRetry') return mayRetry === true;
  return guard === 'waitsForTime' && runAt !== undefined && runAt > at;
}
