import { type QueuePriority, type QueueStatus, priorities, states } from '#shared/protocol/queue-schemas.ts';
import type { ClaimWindow } from './claim-window.ts';
import { Finished, type FinishedEntry } from './finished.ts';
import { type Item, isFinal } from './item.ts';
import type { ItemLookup } from './lane.ts';
import { OrderSet } from './order-set.ts';
import { QueueLimits, hasLimits } from './queue-limits.ts';
import { type QueueSettings, type StoredSettings, effectiveSettings } from './queue-settings.ts';
import { QueueCounters } from './queue-counters.ts';
import { ReadyBands } from './ready-bands.ts';

/**
 * What the broker keeps in memory for one queue besides its items: settings, the ready order, limits, which items are
 * in which state, and the finished items in the order in which their retention ends. Parts are made when they are
 * first used: an idle queue is some hundred bytes.
 */
export class QueueIndex {
  readonly name: string;
  /** What has been counted of it for as long as it exists. */
  readonly counters: QueueCounters;
  paused = false;
  payloadBytes = 0;
  /** Bytes of the lines that were logged for its items. */
  logBytes = 0;
  /** Payload bytes of items that are not final. */
  waitingBytes = 0;
  readonly #ready = new ReadyBands();
  readonly #defaults: QueueSettings;
  readonly #changedWindows: Set<ClaimWindow>;
  #stored: StoredSettings = {};
  #settings: QueueSettings;
  #limits: QueueLimits | undefined;
  /** By the state's place in `states`. */
  readonly #orders: (OrderSet | undefined)[] = states.map(() => undefined);
  readonly #waiting = [0, 0, 0, 0];
  /** Done and cancelled items; failed ones are kept longer and so stand in a queue of their own. */
  readonly #done = new Finished();
  readonly #failed = new Finished();
  /** When it was first seen to hold nothing; undefined while it does. */
  #emptySince: number | undefined;

  /** @param changedWindows where windows go whose records have to be stored; counters likewise */
  constructor(
    name: string,
    defaults: QueueSettings,
    changedWindows: Set<ClaimWindow> = new Set(),
    changedCounters: Set<QueueCounters> = new Set(),
  ) {
    this.name = name;
    this.counters = new QueueCounters(name, changedCounters);
    this.#defaults = defaults;
    this.#settings = defaults;
    this.#changedWindows = changedWindows;
  }

  /** The settings in effect. */
  get settings(): QueueSettings {
    return this.#settings;
  }

  /** What was configured. */
  get stored(): StoredSettings {
    return this.#stored;
  }

  /** Takes over settings. @param leased the queue's items in processing */
  configure(stored: StoredSettings, leased: readonly Item[]): void {
    this.#stored = stored;
    this.#settings = effectiveSettings(this.#defaults, stored);
    this.#ready.weigh(this.#settings.ordering === 'weighted');
    this.#emptySince = undefined;
    const limited = hasLimits(this.#settings);
    if (limited)
      this.#limits ??= new QueueLimits({
        queue: this.name,
        ready: this.#ready,
        changed: this.#changedWindows,
      });
    this.#limits?.configure(this.#settings, leased);
    if (!limited) this.#limits = undefined;
  }

  /** Takes note of an item that came in (`before` is undefined), changed, or went (`after` is undefined). */
  moved(before: Item | undefined, after: Item | undefined, returned = false): void {
    this.#emptySince = undefined;
    if (before?.logged !== undefined) this.logBytes -= before.logged.bytes;
    if (after?.logged !== undefined) this.logBytes += after.logged.bytes;
    if (before !== undefined) this.#leave(before, after);
    if (after !== undefined) this.#enter(after, before, returned);
  }

  /** Takes in a stored item at start, without its place in line: `loaded` follows the last one. */
  load(item: Item): void {
    this.moved(undefined, item);
  }

  // Handing out.

  /** The item to hand out next; undefined when none is ready or the queue is at a limit. */
  next(lookup: ItemLookup, nowMs: number): Item | undefined {
    if (this.#limits?.mayClaim(this.countOf('processing'), nowMs) === false) return undefined;
    return this.#ready.next(lookup, nowMs, this.#settings.agingAfterMs);
  }

  /** When the item that has waited longest became ready, or undefined. */
  oldestReadyAt(lookup: ItemLookup): number | undefined {
    return this.#ready.oldestReadyAt(lookup);
  }

  /** True when a limit may keep items from being handed out. */
  get isLimited(): boolean {
    return this.#limits !== undefined;
  }

  /** When time alone may let it hand out more, or undefined. May be early, never late. */
  get nextRoomAt(): number | undefined {
    return this.#limits?.nextRoomAt();
  }

  /** Leases and windows of groups that are remembered. */
  get groupsRemembered(): number {
    return this.#limits?.groups ?? 0;
  }

  /** The window of the queue or of a group, to take in what is stored of it; undefined where none counts. */
  loadWindow(group: string | undefined): ClaimWindow | undefined {
    return this.#limits?.loadWindow(group);
  }

  // Counting.

  /** Items of one state. */
  countOf(state: QueueStatus): number {
    return this.#orders[stateNumbers[state]]?.size ?? 0;
  }

  get counts(): Readonly<Record<QueueStatus, number>> {
    return Object.fromEntries(states.map((state) => [state, this.countOf(state)])) as Record<
      QueueStatus,
      number
    >;
  }

  /** Items that are not final. */
  get waitingCount(): number {
    return this.#waiting.reduce((sum, count) => sum + count, 0);
  }

  /** Items that are not final, by priority. */
  get byPriority(): Readonly<Record<QueuePriority, number>> {
    return Object.fromEntries(priorities.map((one, band) => [one, this.#waiting[band] ?? 0])) as Record<
      QueuePriority,
      number
    >;
  }

  /** The items of one state above `after`, ascending. */
  ordersOf(state: QueueStatus, after: number): Iterable<number> {
    return this.#orders[stateNumbers[state]]?.above(after) ?? [];
  }

  /** True when nothing is stored for the queue. */
  get isEmpty(): boolean {
    return this.#orders.every((set) => set === undefined || set.size === 0);
  }

  // Keeping.

  /** Everything stored has been taken in: brings it into the order that counts. */
  loaded(): void {
    this.#ready.sort();
    this.#done.sort();
    this.#failed.sort();
    this.#limits?.loaded();
  }

  /** True when there is a finished item whose retention is over at `nowMs`. */
  isOverdue(nowMs: number): boolean {
    const { done, failed } = this.#settings.retention;
    return this.#done.isOver(done, nowMs) || this.#failed.isOver(failed, nowMs);
  }

  /**
   * Takes out the next finished item whose retention is over at `nowMs`, or undefined.
   * It may have been replayed or purged meanwhile: the caller compares.
   */
  takeOverdue(nowMs: number): FinishedEntry | undefined {
    const { done, failed } = this.#settings.retention;
    return this.#done.takeOver(done, nowMs) ?? this.#failed.takeOver(failed, nowMs);
  }

  /**
   * Gives back memory that nothing needs any more.
   * @returns true when the queue itself is not needed: for `forgottenAfterMs` it has had no items, and it has the
   *          default settings
   */
  tidy(nowMs: number): boolean {
    this.#limits?.clearAway(nowMs);
    this.#ready.tidy();
    for (const [index, set] of this.#orders.entries()) if (set?.size === 0) this.#orders[index] = undefined;
    if (!this.isEmpty || this.paused || Object.keys(this.#stored).length > 0) return false;
    this.#emptySince ??= nowMs;
    return nowMs - this.#emptySince >= forgottenAfterMs;
  }

  #leave(item: Item, after: Item | undefined): void {
    const { state } = item;
    if (after?.state !== state) this.#orders[stateNumbers[state]]?.delete(item.order);
    this.payloadBytes -= item.payloadBytes;
    if (isFinal(state)) return this.#finishedOf(item).leave(item);
    this.waitingBytes -= item.payloadBytes;
    this.#waiting[item.band] = (this.#waiting[item.band] ?? 0) - 1;
    if (state === 'pending') this.#leaveLine(item, after);
    else if (state === 'processing' && after?.state !== 'processing') this.#limits?.leaseEnded(item);
  }

  #leaveLine(item: Item, after: Item | undefined): void {
    if (after?.state === 'processing') this.#ready.claimed(item);
    else if (after !== undefined && samePlace(item, after)) this.#ready.changed(item);
    else this.#ready.left(item);
  }

  #enter(item: Item, before: Item | undefined, returned: boolean): void {
    const { state } = item;
    if (before?.state !== state) this.#setOf(state).add(item.order);
    this.payloadBytes += item.payloadBytes;
    if (isFinal(state)) return this.#finishedOf(item).enter(item);
    this.waitingBytes += item.payloadBytes;
    this.#waiting[item.band] = (this.#waiting[item.band] ?? 0) + 1;
    if (state === 'pending') this.#enterLine(item, before, returned);
    else if (state === 'processing' && before?.state !== 'processing') this.#lease(item, before);
  }

  #enterLine(item: Item, before: Item | undefined, returned: boolean): void {
    if (before !== undefined && samePlace(before, item)) return;
    const parked = this.#limits?.parks(item) === true;
    const moves = before?.state === 'pending' && before.readyOrder === item.readyOrder;
    if (returned || moves) this.#ready.putBack(item, parked);
    else this.#ready.add(item, parked);
  }

  #lease(item: Item, before: Item | undefined): void {
    if (before === undefined) return this.#limits?.leaseLoaded(item);
    this.counters.countAttempt();
    return this.#limits?.claimed(item);
  }

  #finishedOf(item: Item): Finished {
    return item.state === 'failed' ? this.#failed : this.#done;
  }

  #setOf(state: QueueStatus): OrderSet {
    const index = stateNumbers[state];
    let set = this.#orders[index];
    if (set === undefined) {
      set = new OrderSet();
      this.#orders[index] = set;
    }
    return set;
  }
}

const stateNumbers = Object.fromEntries(states.map((state, index) => [state, index])) as Readonly<
  Record<QueueStatus, number>
>;

/** A ready item that stays where it is in its line. */
const samePlace = (one: Item, other: Item): boolean =>
  one.state === 'pending' &&
  other.state === 'pending' &&
  one.readyOrder === other.readyOrder &&
  one.band === other.band &&
  one.group === other.group;

/** As long as rates of a queue are shown. */
const forgottenAfterMs = 15 * 60_000;
