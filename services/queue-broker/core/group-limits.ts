import { ClaimWindow } from './claim-window.ts';
import { NumberHeap } from './number-heap.ts';
import type { RateLimit } from './queue-settings.ts';
import type { ReadyBands } from './ready-bands.ts';

/** Dead windows that one claim clears away: more than the one that it may add. */
const clearedPerClaim = 2;

/**
 * The limits of each group of one queue. A group at a limit is parked: its ready items are out of the choice until a
 * lease of it ends or its window moves on. A group costs memory only while it has ready items, leases or claims in
 * its window: each of the three is kept apart and goes by itself.
 */
export class GroupLimits {
  readonly #queue: string;
  readonly #ready: ReadyBands;
  readonly #changed: Set<ClaimWindow>;
  #concurrency: number | undefined;
  #rate: RateLimit | undefined;
  readonly #leases = new Map<string, number>();
  /** In the order of their newest claims, so that the dead ones are in front. */
  readonly #windows = new Map<string, ClaimWindow>();
  /** When a full window moves on, by a number that stands for its group. */
  readonly #moves = new NumberHeap();
  readonly #moving = new Map<number, string>();
  #nextMove = 0;

  constructor(options: {
    readonly queue: string;
    readonly ready: ReadyBands;
    /** Windows whose records have to be stored. */
    readonly changed: Set<ClaimWindow>;
  }) {
    this.#queue = options.queue;
    this.#ready = options.ready;
    this.#changed = options.changed;
  }

  /** @param leases the groups of the queue's leased items, one by one */
  configure(
    concurrency: number | undefined,
    rate: RateLimit | undefined,
    leases: Iterable<string | undefined>,
  ): void {
    this.#concurrency = concurrency;
    this.#rate = rate;
    this.#leases.clear();
    for (const group of leases) if (group !== undefined) this.#addLease(group);
    if (rate === undefined) for (const group of this.#windows.keys()) this.#forget(group);
    this.#restart();
  }

  /** True when the group may have no further item now. */
  isAtLimit(group: string): boolean {
    if (this.#concurrency !== undefined && (this.#leases.get(group) ?? 0) >= this.#concurrency) return true;
    return this.#rate !== undefined && this.#windows.get(group)?.isFull(this.#rate) === true;
  }

  /** An item of the group was claimed. */
  claimed(group: string, at: number): void {
    this.#addLease(group);
    if (this.#rate !== undefined) this.#countClaim(group, at, this.#rate);
    if (this.isAtLimit(group)) this.#ready.park(group);
  }

  /** A leased item was loaded. */
  leaseLoaded(group: string): void {
    this.#addLease(group);
    if (this.isAtLimit(group)) this.#ready.park(group);
  }

  leaseEnded(group: string): void {
    if (this.#concurrency === undefined) return;
    const leases = this.#leases.get(group) ?? 0;
    if (leases > 1) this.#leases.set(group, leases - 1);
    else this.#leases.delete(group);
    if (leases >= this.#concurrency && !this.isAtLimit(group)) this.#ready.unpark(group);
  }

  /** Lets in the groups whose windows have moved on by `nowMs`. */
  advance(nowMs: number): void {
    if (this.#rate === undefined) return;
    for (let at = this.#moves.firstRank; at !== undefined && at <= nowMs; at = this.#moves.firstRank) {
      const number = this.#moves.firstValue ?? 0;
      const group = this.#moving.get(number) ?? '';
      this.#moves.shift();
      this.#moving.delete(number);
      // One that is forgotten already has moved on, too: claims of other groups cleared it away.
      const window = this.#windows.get(group);
      window?.prune(nowMs, this.#rate.perMs);
      if (window?.isFull(this.#rate) === true) this.#awaitMove(group, window, this.#rate);
      else if (!this.isAtLimit(group)) this.#ready.unpark(group);
    }
  }

  /** When the next full window moves on, or undefined. */
  get nextMoveAt(): number | undefined {
    return this.#moves.firstRank;
  }

  /** Groups of which something is remembered besides their ready items. */
  get size(): number {
    return this.#leases.size + this.#windows.size;
  }

  /** Forgets windows without claims, `max` of them at most. */
  clearAway(nowMs: number, max: number): void {
    if (this.#rate === undefined) return;
    let cleared = 0;
    for (const [group, { newestAt }] of this.#windows) {
      if (cleared >= max || (newestAt !== undefined && newestAt + this.#rate.perMs > nowMs)) return;
      this.#forget(group);
      cleared += 1;
    }
  }

  /** The group's window, for taking in what is stored of it. `loaded` follows the last one. */
  loadWindow(group: string): ClaimWindow {
    return this.#windows.get(group) ?? this.#newWindow(group);
  }

  loaded(): void {
    for (const window of this.#windows.values()) window.loaded();
    const windows = [...this.#windows].sort(([, a], [, b]) => (a.newestAt ?? 0) - (b.newestAt ?? 0));
    this.#windows.clear();
    for (const [group, window] of windows) this.#windows.set(group, window);
    this.#restart();
  }

  #addLease(group: string): void {
    if (this.#concurrency !== undefined) this.#leases.set(group, (this.#leases.get(group) ?? 0) + 1);
  }

  #countClaim(group: string, at: number, rate: RateLimit): void {
    this.clearAway(at, clearedPerClaim);
    const window = this.#windows.get(group) ?? this.#newWindow(group);
    this.#windows.delete(group);
    this.#windows.set(group, window);
    window.prune(at, rate.perMs);
    window.add(at);
    this.#changed.add(window);
    if (window.isFull(rate)) this.#awaitMove(group, window, rate);
  }

  #newWindow(group: string): ClaimWindow {
    const window = new ClaimWindow(this.#queue, group);
    this.#windows.set(group, window);
    return window;
  }

  #forget(group: string): void {
    const window = this.#windows.get(group);
    if (window === undefined) return;
    window.clear();
    this.#changed.add(window);
    this.#windows.delete(group);
  }

  #awaitMove(group: string, window: ClaimWindow, rate: RateLimit): void {
    this.#nextMove += 1;
    this.#moves.push(window.movesAt(rate.perMs) ?? 0, this.#nextMove);
    this.#moving.set(this.#nextMove, group);
  }

  /** Judges every group anew: limits, windows or leases are others than before. */
  #restart(): void {
    this.#moves.clear();
    this.#moving.clear();
    const rate = this.#rate;
    if (rate !== undefined) {
      for (const [group, window] of this.#windows)
        if (window.isFull(rate)) this.#awaitMove(group, window, rate);
    }
    for (const group of new Set(this.#ready.groups())) {
      if (this.isAtLimit(group)) this.#ready.park(group);
      else this.#ready.unpark(group);
    }
  }
}
