import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Item } from './core/item.ts';
import type { Changes, DedupEntry } from './core/overlay.ts';
import type { ItemStore, StoreView, StoredPosition } from './item-store.ts';
import { KeyWindows } from './key-windows.ts';
import { MemoryStore } from './memory-store.ts';
import { partsOfChanges, partsOfRows, rowsOfScan } from './redis-parts.ts';
import { rowTables } from './redis-scripts.ts';
import { RedisTable, type RedisTableOptions, TableForgottenError } from './redis-table.ts';
import { type RowChanges, encodeChanges, readKeyName } from './stored-rows.ts';

export interface RedisStoreOptions extends RedisTableOptions {
  /** Of the log that the rows must belong to. */
  readonly logIdentity: () => Promise<string>;
}

/** Expired idempotency keys that one commit removes. */
const expiredKeysMax = 1_000;
/** Between two tries to read or write a whole table that Redis has forgotten meanwhile. */
const forgottenMs = 200;

/**
 * The rows of one partition in Redis. All of them are in memory, too, since decisions read synchronously: the backlog
 * is bounded by this process's memory. Redis is read when the partition is taken, and written at each commit.
 *
 * What is committed stands in the log already. So memory goes first, and when Redis has forgotten what it was told,
 * everything is written again from memory: nobody notices, and neither log nor snapshot is needed for it.
 */
export class RedisStore implements ItemStore {
  readonly #table: RedisTable;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #key: string;
  readonly #windows = new KeyWindows();
  #memory = new MemoryStore();

  private constructor(options: RedisStoreOptions) {
    this.#table = new RedisTable(options);
    this.#clock = options.clock;
    this.#log = options.log;
    this.#key = options.keys.state;
  }

  /**
   * Takes the rows and reads them into memory. Throws when they belong to another log (and leaves them to their owner
   * then), when another broker takes them meanwhile, and when Redis does not answer in time.
   */
  static async open(options: RedisStoreOptions): Promise<RedisStore> {
    const store = new RedisStore(options);
    await refuseForeign(await store.#table.stored(), options);
    while (!(await store.#load())) await sleep(options.clock, forgottenMs);
    return store;
  }

  position(): StoredPosition | undefined {
    return this.#memory.position();
  }

  item(order: number): Item | undefined {
    return this.#memory.item(order);
  }

  payload(order: number): Uint8Array | undefined {
    return this.#memory.payload(order);
  }

  dedup(queue: string, key: string): DedupEntry | undefined {
    return this.#memory.dedup(queue, key);
  }

  record(key: string): object | undefined {
    return this.#memory.record(key);
  }

  items(): Iterable<Item> {
    return this.#memory.items();
  }

  records(): Iterable<readonly [string, object]> {
    return this.#memory.records();
  }

  async commit(changes: Changes, position: StoredPosition): Promise<void> {
    const rows = this.#withoutExpired(encodeChanges(changes), position.applied.at);
    this.#memory.apply(rows, position);
    for (const [name, entry] of rows.keys) if (entry !== null) this.#windows.add(name, entry.until);
    await this.#orAllOfIt(() => this.#table.write(partsOfChanges(rows), position), position);
  }

  async clear(position: StoredPosition): Promise<void> {
    await this.#memory.clear(position);
    await this.#orAllOfIt(() => this.#table.clear(position), position);
  }

  /**
   * Redis does not say when something has reached its disk (`appendfsync everysec` is a second). It need not: what it
   * forgets is read from the log again, and from the snapshot where the log was truncated.
   */
  flushed(): Promise<void> {
    return Promise.resolve();
  }

  view(): StoreView {
    return this.#memory.view();
  }

  /** The connection is shared, and ends with the process. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Writes; when Redis has forgotten what it was told before, writes everything. */
  async #orAllOfIt(write: () => Promise<void>, position: StoredPosition): Promise<void> {
    let attempt = write;
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        if (!(error instanceof TableForgottenError)) throw error;
        const rows = this.#memory.sizes;
        this.#log.error({ key: this.#key, rows }, 'Redis has lost rows, all of them are written again');
        if (attempt !== write) await sleep(this.#clock, forgottenMs);
      }
      attempt = () => this.#writeAll(position);
    }
  }

  async #writeAll(position: StoredPosition): Promise<void> {
    const view = this.#memory.view();
    try {
      await this.#table.takeAgain();
      await this.#table.writeAll(partsOfRows(view.rows()), position);
    } finally {
      view.close();
    }
  }

  /** @returns false when Redis has forgotten rows while they were read */
  async #load(): Promise<boolean> {
    try {
      const { position } = await this.#table.take();
      if (position === undefined) {
        await this.#table.clear(undefined);
        return true;
      }
      this.#memory = new MemoryStore();
      for (const table of rowTables)
        for await (const found of this.#table.scan(table)) this.#keep(rowsOfScan(table, found), position);
      await this.#table.check(position);
      return true;
    } catch (error) {
      if (!(error instanceof TableForgottenError)) throw error;
      this.#memory = new MemoryStore();
      return false;
    }
  }

  #keep(rows: RowChanges, position: StoredPosition): void {
    this.#memory.apply(rows, position);
    for (const [name, entry] of rows.keys) if (entry !== null) this.#windows.add(name, entry.until);
  }

  /** The changes, and the removal of keys whose window is over. */
  #withoutExpired(rows: RowChanges, nowMs: number): RowChanges {
    const ended = this.#windows.takeEnded(nowMs, expiredKeysMax);
    if (ended.length === 0) return rows;
    const keys = new Map(rows.keys);
    for (const name of ended) {
      const { queue, key } = readKeyName(name);
      // It may be gone, or stand for a newer item by now.
      if ((this.dedup(queue, key)?.until ?? Infinity) <= nowMs && !keys.has(name)) keys.set(name, null);
    }
    return { ...rows, keys };
  }
}

async function refuseForeign(
  stored: StoredPosition | undefined,
  { logIdentity, keys }: RedisStoreOptions,
): Promise<void> {
  // A table that is being loaded is replaced, whatever it holds.
  if (stored === undefined || stored.loading === true) return;
  const identity = await logIdentity();
  if (stored.logIdentity === identity) return;
  throw new Error(
    `${keys.state}: the rows in Redis belong to a log made at ${stored.logIdentity}, the log was made at ${identity}. ` +
      `Restore the stream, give this cluster another TRIVET_PREFIX or Redis, or delete ${keys.all.join(', ')}`,
  );
}
