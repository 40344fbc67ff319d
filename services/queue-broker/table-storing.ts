import type { Clock } from '#shared/runtime/clock.ts';
import type { Changes } from './core/overlay.ts';
import type { PartitionTable } from './core/partition-table.ts';
import type { ItemStore, StoredPosition } from './item-store.ts';

/** How far the rows may be behind the log in time, while there is traffic. */
const storeEveryMs = 40;

/** As many changes are stored at once: what waits longer is copied by the garbage collector, and stored in one stretch. */
const storeAtItems = 2_048;

/** Changes beyond which decisions wait. */
const unstoredItemsMax = 50_000;

/** Changes that stand in a record which may not be durable yet. */
export interface TakenChanges {
  readonly changes: Changes;
  readonly position: StoredPosition;
}

export interface StoringOptions {
  readonly table: PartitionTable;
  readonly store: ItemStore;
  readonly logIdentity: string;
  readonly clock: Clock;
}

/**
 * Brings what has changed in memory to the rows, in the background. Changes are taken when a record is complete and
 * committed once it is durable: the rows may be behind the log, never ahead of it.
 */
export class TableStoring {
  readonly #table: PartitionTable;
  readonly #clock: Clock;
  /** Taken and not committed yet: nothing more is taken meanwhile. */
  #taken = false;
  #committing: Promise<void> = Promise.resolve();
  #storedAtMs = 0;

  readonly #options: StoringOptions;

  constructor(options: StoringOptions) {
    this.#options = options;
    this.#table = options.table;
    this.#clock = options.clock;
  }

  /** Milliseconds until changes should be taken, or undefined when there are none or some are on their way. */
  get dueInMs(): number | undefined {
    if (this.#taken || this.#table.changeCount === 0) return undefined;
    if (this.#table.changeCount >= storeAtItems) return 0;
    return Math.max(0, this.#storedAtMs + storeEveryMs - this.#clock.monotonicMs());
  }

  /** True when so much is not stored that no more should be decided. */
  get isBehind(): boolean {
    return this.#taken && this.#table.changeCount > unstoredItemsMax;
  }

  /**
   * Takes the changes when it is time; must be called when everything applied stands in complete records.
   * @param mark what the last of these records is known by
   */
  takeWhenDue(mark: string | undefined): TakenChanges | undefined {
    return this.dueInMs === 0 ? this.take(mark) : undefined;
  }

  /** Takes the changes, if there are any and none are on their way already. */
  take(mark: string | undefined): TakenChanges | undefined {
    return this.#table.changeCount === 0 ? undefined : this.takePosition(mark);
  }

  /** Takes the changes, or the position alone when there are none, unless some are on their way already. */
  takePosition(mark: string | undefined): TakenChanges | undefined {
    if (this.#taken) return undefined;
    this.#taken = true;
    const { changes, applied } = this.#table.takeChanges();
    const { logIdentity } = this.#options;
    return { changes, position: { applied, logIdentity, ...(mark === undefined ? {} : { mark }) } };
  }

  /** Commits what was taken. Its record must be durable. Rejects when the store does. */
  commit(taken: TakenChanges): Promise<void> {
    const commit = async (): Promise<void> => {
      // The connection writes in a microtask: what was published just now goes out before the rows are written.
      await Promise.resolve();
      await this.#options.store.commit(taken.changes, taken.position);
      this.#table.stored();
      this.#storedAtMs = this.#clock.monotonicMs();
      this.#taken = false;
    };
    this.#committing = commit();
    return this.#committing;
  }

  /** Waits for the commit that is under way, however it ends. */
  async settled(): Promise<void> {
    await this.#committing.catch(() => undefined);
  }

  /** Stores all that is left: the last act of an owner. */
  async finish(mark: string | undefined): Promise<void> {
    await this.#committing;
    const taken = this.take(mark);
    if (taken !== undefined) await this.commit(taken);
  }
}
