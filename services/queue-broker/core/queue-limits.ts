import { ClaimWindow } from './claim-window.ts';
import { GroupLimits } from './group-limits.ts';
import type { Item } from './item.ts';
import type { QueueSettings, RateLimit } from './queue-settings.ts';
import type { ReadyBands } from './ready-bands.ts';

export interface QueueLimitsOptions {
  readonly queue: string;
  readonly ready: ReadyBands;
  /** Windows whose records have to be stored. */
  readonly changed: Set<ClaimWindow>;
}

/** True for settings that say how much of a queue may be worked on. */
export const hasLimits = ({ concurrency, rateLimit }: QueueSettings): boolean =>
  [concurrency.total, concurrency.perGroup, rateLimit.total, rateLimit.perGroup].some(
    (limit) => limit !== undefined,
  );

/**
 * How much of one queue may be worked on: leases at once and claims in any window, in all and for each group. Claims
 * are counted as they are applied, so the owner that decides and whoever replays the log count the same.
 */
export class QueueLimits {
  readonly #options: QueueLimitsOptions;
  #concurrency: number | undefined;
  #rate: RateLimit | undefined;
  #window: ClaimWindow;
  #groups: GroupLimits | undefined;

  constructor(options: QueueLimitsOptions) {
    this.#options = options;
    this.#window = new ClaimWindow(options.queue, undefined);
  }

  /** Takes over limits. @param leased the queue's items in processing */
  configure({ concurrency, rateLimit }: QueueSettings, leased: readonly Item[]): void {
    this.#concurrency = concurrency.total;
    this.#rate = rateLimit.total;
    if (this.#rate === undefined && !this.#window.isEmpty) {
      this.#window.clear();
      this.#options.changed.add(this.#window);
    }
    const perGroup = concurrency.perGroup !== undefined || rateLimit.perGroup !== undefined;
    if (perGroup) this.#groups ??= new GroupLimits(this.#options);
    this.#groups?.configure(
      concurrency.perGroup,
      rateLimit.perGroup,
      leased.map(({ group }) => group),
    );
    if (!perGroup) this.#groups = undefined;
  }

  /** True while the queue as a whole may hand out another item. @param leases those that it has now */
  mayClaim(leases: number, nowMs: number): boolean {
    this.#groups?.advance(nowMs);
    // Whatever the answer: `nextRoomAt` must not name a moment that has passed.
    if (this.#rate !== undefined) this.#window.prune(nowMs, this.#rate.perMs);
    if (this.#concurrency !== undefined && leases >= this.#concurrency) return false;
    return this.#rate === undefined || !this.#window.isFull(this.#rate);
  }

  /** When time alone may let the queue hand out more, or undefined. May be early, never late. */
  nextRoomAt(): number | undefined {
    if (this.#rate !== undefined && this.#window.isFull(this.#rate))
      return this.#window.movesAt(this.#rate.perMs);
    return this.#groups?.nextMoveAt;
  }

  /** True when the item's group is at a limit: it joins its lane beside the ring. */
  parks({ group }: Item): boolean {
    return group !== undefined && this.#groups?.isAtLimit(group) === true;
  }

  claimed({ group, startedAt = 0 }: Item): void {
    if (this.#rate !== undefined) {
      this.#window.add(startedAt);
      this.#options.changed.add(this.#window);
    }
    if (group !== undefined) this.#groups?.claimed(group, startedAt);
  }

  leaseLoaded({ group }: Item): void {
    if (group !== undefined) this.#groups?.leaseLoaded(group);
  }

  leaseEnded({ group }: Item): void {
    if (group !== undefined) this.#groups?.leaseEnded(group);
  }

  /** Groups of which something is remembered besides their ready items. */
  get groups(): number {
    return this.#groups?.size ?? 0;
  }

  /** The window of the whole queue or of a group, for taking in what is stored of it; undefined where none counts. */
  loadWindow(group: string | undefined): ClaimWindow | undefined {
    return group === undefined ? this.#window : this.#groups?.loadWindow(group);
  }

  /** Everything stored has been taken in. */
  loaded(): void {
    this.#window.loaded();
    this.#groups?.loaded();
  }

  /** Forgets what no window reaches any more. */
  clearAway(nowMs: number): void {
    if (this.#rate !== undefined && !this.#window.isEmpty) {
      this.#window.prune(nowMs, this.#rate.perMs);
      if (this.#window.isEmpty) this.#options.changed.add(this.#window);
    }
    this.#groups?.clearAway(nowMs, Number.POSITIVE_INFINITY);
  }
}
