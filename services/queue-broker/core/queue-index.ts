import { type QueuePriority, type QueueStatus, priorities, states } from '#shared/protocol/queue-schemas.ts';
import { type Item, isFinal } from './item.ts';
import { NumberQueue } from './number-queue.ts';
import { OrderSet } from './order-set.ts';
import type { QueueSettings, Retention, StoredSettings } from './queue-settings.ts';
import { ReadyBands } from './ready-bands.ts';

const columns = { order: 0, finishedAt: 1, place: 2, bytes: 3 } as const;

/**
 * What the broker keeps in memory for one queue besides its items: settings, the ready order, which items are in which
 * state, and the finished items in the order in which their retention ends.
 */
export class QueueIndex {
  readonly name: string;
  readonly ready = new ReadyBands();
  paused = false;
  payloadBytes = 0;
  /** Payload bytes of items that are not final. */
  waitingBytes = 0;
  /** Failures by the `type` that workers gave. Bounded: types beyond the limit count as `other`. */
  readonly failuresByType = new Map<string, number>();
  readonly #defaults: QueueSettings;
  #stored: StoredSettings = {};
  #settings: QueueSettings;
  readonly #orders = new Map<QueueStatus, OrderSet>();
  readonly #waiting = [0, 0, 0, 0];
  /** Done and cancelled items; failed ones are kept longer and so stand in a queue of their own. */
  readonly #done = new Finished();
  readonly #failed = new Finished();

  constructor(name: string, defaults: QueueSettings) {
    this.name = name;
    this.#defaults = defaults;
    this.#settings = defaults;
  }

  /** The settings in effect. */
  get settings(): QueueSettings {
    return this.#settings;
  }

  /** What was configured. */
  get stored(): StoredSettings {
    return this.#stored;
  }

  configure(stored: StoredSettings): void {
    this.#stored = stored;
    this.#settings = { ...this.#defaults, ...stored };
  }

  /** Takes note of an item that came in (`before` is undefined), changed, or went (`after` is undefined). */
  moved(before: Item | undefined, after: Item | undefined, returned = false): void {
    if (before !== undefined) this.#leave(before, after);
    if (after !== undefined) this.#enter(after, before, returned);
  }

  /** Takes in a stored item at start, without its place in line: `sort` follows the last one. */
  load(item: Item): void {
    this.moved(undefined, item);
  }

  /** Items of one state. */
  countOf(state: QueueStatus): number {
    return this.#orders.get(state)?.size ?? 0;
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
    return this.#orders.get(state)?.above(after) ?? [];
  }

  /** True when nothing is stored for the queue. */
  get isEmpty(): boolean {
    return states.every((state) => this.countOf(state) === 0);
  }

  /** Brings entries that were added in another order into the one that counts. */
  sort(): void {
    this.ready.sort();
    this.#done.sort();
    this.#failed.sort();
  }

  /**
   * Takes out the next finished item whose retention is over at `nowMs`, or undefined.
   * It may have been replayed or purged meanwhile: the caller compares.
   */
  takeOverdue(retention: Retention, nowMs: number): FinishedEntry | undefined {
    const { done, failed } = retention;
    return this.#done.takeOverdue(done, nowMs) ?? this.#failed.takeOverdue(failed, nowMs);
  }

  /** When the retention of the first finished item ends by its age, or undefined. */
  nextSweepAt(retention: Retention): number | undefined {
    const doneAt = this.#done.nextAt(retention.done);
    const failedAt = this.#failed.nextAt(retention.failed);
    if (doneAt === undefined || failedAt === undefined) return doneAt ?? failedAt;
    return Math.min(doneAt, failedAt);
  }

  countFailure(type: string): void {
    const known = this.failuresByType.has(type) || this.failuresByType.size < failureTypesMax;
    const name = known ? type : 'other';
    this.failuresByType.set(name, (this.failuresByType.get(name) ?? 0) + 1);
  }

  #leave(item: Item, after: Item | undefined): void {
    const { state } = item;
    if (after?.state !== state) this.#orders.get(state)?.delete(item.order);
    this.payloadBytes -= item.payloadBytes;
    if (state === 'pending') this.ready.changed(item);
    if (isFinal(state)) return this.#finishedOf(item).leave(item);
    this.waitingBytes -= item.payloadBytes;
    this.#waiting[item.band] = (this.#waiting[item.band] ?? 0) - 1;
  }

  #enter(item: Item, before: Item | undefined, returned: boolean): void {
    const { state } = item;
    if (before?.state !== state) this.#setOf(state).add(item.order);
    this.payloadBytes += item.payloadBytes;
    if (isFinal(state)) return this.#finishedOf(item).enter(item);
    this.waitingBytes += item.payloadBytes;
    this.#waiting[item.band] = (this.#waiting[item.band] ?? 0) + 1;
    if (state !== 'pending') return;
    if (returned) this.ready.putBack(item);
    else if (before?.state !== 'pending' || before.readyOrder !== item.readyOrder) this.ready.add(item);
  }

  #finishedOf(item: Item): Finished {
    return item.state === 'failed' ? this.#failed : this.#done;
  }

  #setOf(state: QueueStatus): OrderSet {
    let set = this.#orders.get(state);
    if (set === undefined) {
      set = new OrderSet();
      this.#orders.set(state, set);
    }
    return set;
  }
}

/** Failure types counted apart for one queue. */
const failureTypesMax = 100;

export interface FinishedEntry {
  readonly order: number;
  readonly place: number;
}

/** Finished items in the order in which they finished. Entries of items that left otherwise go when they come up. */
class Finished {
  #entries: NumberQueue | undefined;
  #count = 0;
  #bytes = 0;

  enter(item: Item): void {
    this.#entries ??= new NumberQueue(4);
    this.#entries.push(item.order, item.finishedAt ?? 0, item.readyOrder, item.payloadBytes);
    this.#count += 1;
    this.#bytes += item.payloadBytes;
  }

  leave(item: Item): void {
    this.#count -= 1;
    this.#bytes -= item.payloadBytes;
  }

  sort(): void {
    this.#entries?.sortBy(columns.place);
  }

  takeOverdue(keep: { ageMs?: number; count?: number; bytes?: number }, nowMs: number) {
    const entries = this.#entries;
    const finishedAt = entries?.first(columns.finishedAt);
    if (entries === undefined || finishedAt === undefined) return undefined;
    const over =
      finishedAt + (keep.ageMs ?? Number.POSITIVE_INFINITY) <= nowMs ||
      this.#count > (keep.count ?? Number.POSITIVE_INFINITY) ||
      this.#bytes > (keep.bytes ?? Number.POSITIVE_INFINITY);
    if (!over) return undefined;
    const order = entries.first(columns.order) ?? 0;
    const place = entries.first(columns.place) ?? 0;
    entries.shift();
    return { order, place };
  }

  nextAt(keep: { ageMs?: number }): number | undefined {
    const first = this.#entries?.first(columns.finishedAt);
    return first === undefined || keep.ageMs === undefined ? undefined : first + keep.ageMs;
  }
}
