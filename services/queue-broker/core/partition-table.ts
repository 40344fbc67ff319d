import type { Applied } from './applied.ts';
import type { Claimed, Enqueued, Extended, Fact, Fence } from './facts.ts';
import { type Change, changed, withTransition } from './item-changes.ts';
import type { ItemEvent } from './item-machine.ts';
import { newItem } from './new-item.ts';
import { type StateEvent, durations } from './state-event.ts';
import { type Item, isFinal } from './item.ts';
import { type Retention, QueueIndex } from './queue-index.ts';
import { type Changes, Overlay, type RowReader } from './overlay.ts';
import { type TransitionTable, lookUp } from './transition-table.ts';
import { WakeIndex } from './wake-index.ts';

/**
 * The table of one partition: what all facts of the log add up to. Facts are applied in the order of the log, at
 * once when they are decided and again when they are replayed; both give the same table, since nothing here reads
 * a clock or draws a number. What was applied and then not committed is thrown away with the whole table.
 */
export class PartitionTable {
  readonly #overlay: Overlay;
  readonly #transitions: TransitionTable;
  readonly retention: Retention;
  #applied: Applied;
  readonly #queues = new Map<string, QueueIndex>();
  /** Items in processing: looked up on every operation, and few. */
  readonly #leased = new Map<number, Item>();
  readonly #wakes = new WakeIndex();
  readonly #claims = new Map<string, readonly number[]>();
  #events: StateEvent[] = [];

  constructor(options: {
    readonly rows: RowReader;
    readonly transitions: TransitionTable;
    readonly retention: Retention;
    readonly applied: Applied;
  }) {
    this.#overlay = new Overlay(options.rows);
    this.#transitions = options.transitions;
    this.retention = options.retention;
    this.#applied = options.applied;
  }

  // Reading.

  get applied(): Applied {
    return this.#applied;
  }

  item(order: number): Item | undefined {
    return this.#leased.get(order) ?? this.#overlay.item(order);
  }

  payload(order: number): Uint8Array | undefined {
    return this.#overlay.payload(order);
  }

  /** The item that a key stands for at `nowMs`, or undefined. */
  duplicateOf(queue: string, key: string, nowMs: number): number | undefined {
    const entry = this.#overlay.dedup(queue, key);
    return entry !== undefined && entry.until > nowMs ? entry.order : undefined;
  }

  queue(name: string): QueueIndex | undefined {
    return this.#queues.get(name);
  }

  get queues(): ReadonlyMap<string, QueueIndex> {
    return this.#queues;
  }

  /** Items in processing. */
  get leased(): ReadonlyMap<number, Item> {
    return this.#leased;
  }

  /** The items of a claim, whatever became of them, or undefined. */
  claimed(claim: string): readonly number[] | undefined {
    return this.#claims.get(claim);
  }

  /** The item that `dequeue` would hand out next. */
  nextReady(queue: QueueIndex, nowMs: number, agingAfterMs: number): Item | undefined {
    return queue.ready.next((order) => this.item(order), nowMs, agingAfterMs);
  }

  oldestReadyAt(queue: QueueIndex): number | undefined {
    return queue.ready.oldestReadyAt((order) => this.item(order));
  }

  /** When time will change something next, or undefined. May be early, never late. */
  get nextWakeAt(): number | undefined {
    return this.#wakes.nextAt;
  }

  /** Takes out the items that time changes at `nowMs`, at most `max` of them. */
  takeWoken(nowMs: number, max: number): readonly Item[] {
    return this.#wakes.take(
      nowMs,
      max,
      (order) => this.item(order),
      (order) => this.#leased.get(order),
    );
  }

  // Writing.

  /**
   * Applies one fact.
   * @param at    time of its batch, epoch milliseconds
   * @param token sequence of its batch in the log
   */
  apply(fact: Fact, at: number, token: number): void {
    switch (fact.kind) {
      case 'enqueued':
        return this.#enqueue(fact, at);
      case 'claimed':
        return this.#claim(fact, at, token);
      case 'completed':
        return this.#step(fact.order, 'COMPLETE', at, {
          why: 'completed',
          settledBy: 'complete',
          ...(fact.result === undefined ? {} : { result: fact.result }),
        });
      case 'failed':
        this.#queueOf(fact.order).countFailure(fact.error.type ?? 'Error');
        return this.#step(fact.order, 'FAIL', at, { why: 'failed', settledBy: 'fail', ...fact });
      case 'extended':
        return this.#extend(fact, at);
      case 'released':
        return this.#step(fact.order, 'RELEASE', at, { why: 'released', settledBy: 'release' });
      case 'lease-expired':
        this.#queueOf(fact.order).countFailure(fact.why);
        return this.#step(fact.order, 'LEASE_EXPIRE', at, {
          why: fact.why,
          mayRetry: fact.mayRetry,
          error: {
            message: fact.why === 'timeout' ? 'the attempt ran too long' : 'the lease expired',
            type: fact.why,
          },
        });
      case 'due':
        for (const order of fact.orders) this.#step(order, 'DUE', at, { why: 'due' });
        return undefined;
      case 'expired':
        for (const order of fact.orders) this.#step(order, 'EXPIRE', at, { why: 'expired' });
        return undefined;
      case 'cancelled':
        return this.#step(fact.order, 'CANCEL', at, { why: 'cancelled' });
      case 'replayed':
        for (const order of fact.orders) this.#step(order, 'REPLAY', at, { why: 'replayed' });
        return undefined;
      case 'reprioritized':
        return this.#reprioritize(fact.order, fact.band);
      case 'ingested':
        this.#applied = { ...this.#applied, ingested: { stream: fact.stream, sequence: fact.sequence } };
        return undefined;
      case 'queue-paused':
        this.#index(fact.queue).paused = fact.paused;
        this.#overlay.putPaused(fact.queue, fact.paused);
        return undefined;
      case 'swept':
        return this.#sweep(this.#index(fact.queue), at);
    }
  }

  /** Notes that the record at `sequence` has been applied in full. */
  advance(sequence: number, at: number): void {
    this.#applied = { ...this.#applied, sequence, at: Math.max(at, this.#applied.at) };
  }

  /**
   * A new owner's fence: its sequence is the epoch. Leases get their full length again, because the workers had
   * nobody to extend them with while there was no owner.
   */
  beginEpoch(sequence: number, fence: Fence): void {
    const at = Math.max(fence.at, this.#applied.at);
    this.#applied = { ...this.#applied, sequence, at, epoch: sequence };
    for (const item of this.#leased.values()) {
      if (item.lease === undefined) continue;
      this.#put({ ...item, lease: { ...item.lease, expiresAt: at + item.lease.leaseMs } });
    }
  }

  /** Takes in one stored item at start: indexes it, changes nothing. `loaded` follows the last one. */
  load(item: Item): void {
    const queue = this.#index(item.queue);
    queue.count(item, 1);
    if (item.state === 'pending') queue.ready.add(item);
    if (isFinal(item.state)) queue.finished(item);
    this.#track(item);
  }

  /** Puts what was loaded in the order of the stored items into the order in which it counts. */
  loaded(): void {
    for (const queue of this.#queues.values()) queue.sort();
  }

  loadPaused(queue: string): void {
    this.#index(queue).paused = true;
  }

  // Storing.

  get changeCount(): number {
    return this.#overlay.changeCount;
  }

  /** Hands over what is to be stored, with how far it goes. Until `stored` is called it is still read from here. */
  takeChanges(): { readonly changes: Changes; readonly applied: Applied } {
    return { changes: this.#overlay.take(), applied: this.#applied };
  }

  stored(): void {
    this.#overlay.stored();
  }

  /** The changes of state since the last call, in order. */
  takeEvents(): readonly StateEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** The newest value of every item that is not stored yet; null where it was removed. */
  unstored(): Iterable<readonly [number, Item | null]> {
    return this.#overlay.unstored();
  }

  // Facts, one by one.

  #enqueue(fact: Enqueued, at: number): void {
    const transition = lookUp(this.#transitions, 'new', 'ENQUEUE', (guard) =>
      guard === 'isRefused' ? fact.refused !== undefined : fact.runAt !== undefined && fact.runAt > at,
    );
    if (transition === undefined) throw new Error('the machine does not admit an item');
    const item = newItem(fact, at, this.#applied.nextReadyOrder);
    const admitted: Item = {
      ...item,
      state: transition.target,
      transitions: withTransition(item, { at, from: null, to: transition.target, why: 'enqueued' }),
    };
    this.#applied = {
      ...this.#applied,
      nextOrder: Math.max(this.#applied.nextOrder, fact.order + 1),
      nextReadyOrder: this.#applied.nextReadyOrder + 1,
    };
    this.#overlay.putPayload(fact.order, fact.payload);
    if (fact.key !== undefined && fact.dedupUntil !== undefined) {
      this.#overlay.putDedup(fact.queue, fact.key, { order: fact.order, until: fact.dedupUntil });
    }
    if (fact.refused !== undefined) this.#index(fact.queue).countFailure(fact.refused.type ?? 'Error');
    this.#enter(admitted, at);
  }

  #claim(fact: Claimed, at: number, token: number): void {
    for (const order of fact.orders) {
      this.#step(order, 'CLAIM', at, {
        why: 'claimed',
        token,
        leaseMs: fact.leaseMs,
        ...(fact.worker === undefined ? {} : { worker: fact.worker }),
        ...(fact.claim === undefined ? {} : { claim: fact.claim }),
      });
    }
  }

  #extend(fact: Extended, at: number): void {
    this.#step(fact.order, 'EXTEND', at, {
      why: 'extended',
      leaseMs: fact.leaseMs,
      ...(fact.progress === undefined ? {} : { progress: fact.progress }),
    });
  }

  #reprioritize(order: number, band: number): void {
    const before = this.#known(order);
    const queue = this.#index(before.queue);
    queue.count(before, -1);
    queue.ready.changed(before);
    const readyOrder = this.#applied.nextReadyOrder;
    this.#applied = { ...this.#applied, nextReadyOrder: readyOrder + 1 };
    const after: Item = { ...before, band, readyOrder };
    queue.count(after, 1);
    if (after.state === 'pending') queue.ready.add(after);
    this.#put(after);
  }

  /** Sends an event through the machine. That the state knows it was decided before: otherwise the log is broken. */
  #step(
    order: number,
    event: ItemEvent,
    at: number,
    change: Omit<Change, 'at' | 'readyOrder'> & { readonly mayRetry?: boolean },
  ): void {
    const before = this.#known(order);
    const transition = lookUp(this.#transitions, before.state, event, () => change.mayRetry === true);
    if (transition === undefined)
      throw new Error(`item ${order} is ${before.state} and cannot take ${event}`);
    const readyOrder = this.#applied.nextReadyOrder;
    this.#applied = { ...this.#applied, nextReadyOrder: readyOrder + 1 };
    const after = changed(before, transition, { ...change, at, readyOrder });
    const queue = this.#index(before.queue);
    queue.count(before, -1);
    queue.count(after, 1);
    queue.ready.changed(before);
    this.#leave(before, after);
    this.#put(after);
    if (after.state === before.state) return;
    if (after.state === 'pending') {
      if (event === 'RELEASE') queue.ready.putBack(after);
      else queue.ready.add(after);
    }
    this.#announce(after, durations(before, after, at));
    if (!isFinal(after.state)) return;
    queue.finished(after);
    this.#sweep(queue, at);
  }

  #enter(item: Item, at: number): void {
    const queue = this.#index(item.queue);
    queue.count(item, 1);
    if (item.state === 'pending') queue.ready.add(item);
    this.#put(item);
    this.#announce(item, { isNew: true });
    if (!isFinal(item.state)) return;
    queue.finished(item);
    this.#sweep(queue, at);
  }

  /** Forgets what belongs to a lease that has ended. */
  #leave(before: Item, after: Item): void {
    if (before.state !== 'processing' || after.state === 'processing') return;
    this.#leased.delete(before.order);
    const claim = before.lease?.claim;
    if (claim === undefined) return;
    const live = (this.#claims.get(claim) ?? []).filter((order) => order !== before.order);
    if (live.length === 0) this.#claims.delete(claim);
    else this.#claims.set(claim, live);
  }

  /** Removes finished items past their retention. A function of the table and the batch's time, so replay agrees. */
  #sweep(queue: QueueIndex, at: number): void {
    for (;;) {
      const overdue = queue.takeOverdue(this.retention, at);
      if (overdue === undefined) return;
      const item = this.item(overdue.order);
      // A replayed item has an entry for each time it finished: only the newest counts.
      if (item === undefined || !isFinal(item.state) || item.readyOrder !== overdue.place) continue;
      queue.count(item, -1);
      this.#overlay.remove(item.order);
    }
  }

  #put(item: Item): void {
    this.#overlay.putItem(item);
    this.#track(item);
  }

  #track(item: Item): void {
    if (item.state === 'processing') this.#leased.set(item.order, item);
    const claim = item.lease?.claim;
    if (claim !== undefined && this.#claims.get(claim)?.includes(item.order) !== true) {
      this.#claims.set(claim, [...(this.#claims.get(claim) ?? []), item.order]);
    }
    this.#wakes.add(item);
  }

  #announce(item: Item, more: Pick<StateEvent, 'waitedMs' | 'ranMs' | 'isNew'>): void {
    const { order, queue, state, band, attempt } = item;
    this.#events.push({ order, queue, state, band, attempt, ...more });
  }

  #known(order: number): Item {
    const item = this.item(order);
    if (item === undefined) throw new Error(`the log speaks of item ${order}, which the table does not have`);
    return item;
  }

  #queueOf(order: number): QueueIndex {
    return this.#index(this.#known(order).queue);
  }

  #index(name: string): QueueIndex {
    let index = this.#queues.get(name);
    if (index === undefined) {
      index = new QueueIndex(name);
      this.#queues.set(name, index);
    }
    return index;
  }
}
