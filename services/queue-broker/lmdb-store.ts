import { type Environment, type Table, type Writes, openEnvironment } from '#shared/runtime/lmdb.ts';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Item } from './core/item.ts';
import type { Changes, DedupEntry } from './core/overlay.ts';
import { queueRecordKey, recordsOnDemand } from './core/queue-records.ts';
import { ItemBlocks, byOrder } from './item-blocks.ts';
import { decodeItem, encodeItem } from './item-codec.ts';
import { type ItemStore, type StoreView, type StoredPosition, tableVersion } from './item-store.ts';
import { decodeKey, encodeKey } from './key-codec.ts';
import { openView } from './lmdb-view.ts';

/** Expired idempotency keys that one commit removes, so that the table of keys does not grow for ever. */
const expiredKeysMax = 1_000;

const positionKey = 'position';

/** The rows of one partition in an LMDB environment of its own. */
export class LmdbStore implements ItemStore {
  readonly #environment: Environment;
  readonly #items: Table<number>;
  readonly #blocks: ItemBlocks;
  /** Payloads that are too large for the item's own row. */
  readonly #payloads: Table<number>;
  readonly #dedup: Table<[string, string]>;
  /** (until, queue, key) → nothing: for removing keys whose window is over. */
  readonly #dedupByTime: Table<[number, string, string]>;
  readonly #records: Table<string>;
  /** Where brokers before version 2 of the rows kept which queues are paused. */
  readonly #paused: Table<string>;
  readonly #meta: Table<string>;

  constructor(path: string) {
    this.#environment = openEnvironment({ path });
    this.#items = this.#environment.table('items');
    const [highest = -1] = this.#items.getKeys({ reverse: true, limit: 1 });
    this.#blocks = new ItemBlocks(this.#environment, highest);
    this.#payloads = this.#environment.table('payloads');
    this.#dedup = this.#environment.table('dedup');
    this.#dedupByTime = this.#environment.table('dedup-by-time');
    this.#records = this.#environment.table('records');
    this.#paused = this.#environment.table('paused');
    this.#meta = this.#environment.table('meta');
  }

  position(): StoredPosition | undefined {
    const bytes = this.#meta.get(positionKey);
    return bytes === undefined ? undefined : (unpackRecord(bytes) as StoredPosition);
  }

  item(order: number): Item | undefined {
    const fresh = this.#blocks.item(order);
    if (fresh !== undefined) return fresh;
    const bytes = this.#items.getBinaryFast(order);
    return bytes === undefined ? undefined : decodeItem(bytes);
  }

  payload(order: number): Uint8Array | undefined {
    return this.#payloads.get(order);
  }

  dedup(queue: string, key: string): DedupEntry | undefined {
    const bytes = this.#dedup.get([queue, key]);
    return bytes === undefined ? undefined : decodeKey(bytes);
  }

  record(key: string): object | undefined {
    const bytes = this.#records.get(key);
    return bytes === undefined ? undefined : (unpackRecord(bytes) as object);
  }

  *items(): Iterable<Item> {
    yield* byOrder(this.#blocks.items(), this.#rows());
  }

  *#rows(): Iterable<Item> {
    for (const { value } of this.#items.getRange()) yield decodeItem(value);
  }

  *records(): Iterable<readonly [string, object]> {
    for (const queue of this.#paused.getKeys()) {
      if (this.#records.get(queueRecordKey(queue)) === undefined)
        yield [queueRecordKey(queue), { paused: true, settings: {} }];
    }
    for (const range of [{ end: recordsOnDemand.from }, { start: recordsOnDemand.to }])
      for (const { key, value } of this.#records.getRange(range)) yield [key, unpackRecord(value) as object];
  }

  async commit(changes: Changes, position: StoredPosition): Promise<void> {
    await this.#environment.transaction((writes) => this.#gather(changes, position, writes));
  }

  #gather(changes: Changes, position: StoredPosition, writes: Writes): void {
    // Before the new keys: reading sees what was committed, so an old entry would take a new one of its name with it.
    this.#removeExpiredKeys(position.applied.at, writes);
    for (const [order, item] of this.#blocks.store(changes, writes)) {
      if (item === null) writes.remove(this.#items, order);
      else writes.put(this.#items, order, encodeItem(item));
    }
    for (const [order, payload] of changes.payloads) {
      if (payload === null) writes.remove(this.#payloads, order);
      else writes.put(this.#payloads, order, asBuffer(payload));
    }
    for (const { queue, key, entry } of changes.dedup.values()) this.#putDedup(queue, key, entry, writes);
    for (const [key, value] of changes.records) this.#putRecord(key, value, writes);
    // Without blocks it is a table that a broker before them can read.
    const version = this.#blocks.isEmpty ? {} : { version: tableVersion };
    writes.put(this.#meta, positionKey, packed({ ...position, ...version }));
  }

  async clear(position: StoredPosition): Promise<void> {
    await this.#environment.transaction((writes) => {
      this.#blocks.clear(writes);
      for (const table of [this.#items, this.#payloads, this.#dedup, this.#dedupByTime, this.#records])
        writes.clear(table);
      writes.clear(this.#paused);
      writes.put(this.#meta, positionKey, packed(position));
    });
  }

  flushed(): Promise<void> {
    return this.#environment.flushed();
  }

  view(): StoreView {
    return openView({
      environment: this.#environment,
      items: this.#items,
      blocks: this.#blocks,
      payloads: this.#payloads,
      dedup: this.#dedup,
      records: this.#records,
      paused: this.#paused,
      position: (transaction) => {
        const bytes = this.#meta.get(positionKey, { transaction });
        return bytes === undefined ? undefined : (unpackRecord(bytes) as StoredPosition);
      },
    });
  }

  close(): Promise<void> {
    return this.#environment.close();
  }

  #putRecord(key: string, value: object | null, writes: Writes): void {
    if (value === null) writes.remove(this.#records, key);
    else writes.put(this.#records, key, packed(value));
    const [kind, queue] = key.split('/', 2);
    if (kind === 'queue' && queue !== undefined) writes.remove(this.#paused, queue);
  }

  #putDedup(queue: string, key: string, entry: DedupEntry | null, writes: Writes): void {
    if (entry === null) {
      const known = this.dedup(queue, key);
      if (known !== undefined) writes.remove(this.#dedupByTime, [known.until, queue, key]);
      writes.remove(this.#dedup, [queue, key]);
      return;
    }
    writes.put(this.#dedup, [queue, key], encodeKey(entry));
    writes.put(this.#dedupByTime, [entry.until, queue, key], nothing);
  }

  #removeExpiredKeys(nowMs: number, writes: Writes): void {
    for (const [until, queue, key] of this.#dedupByTime.getKeys({
      end: [nowMs, '', ''],
      limit: expiredKeysMax,
    })) {
      writes.remove(this.#dedupByTime, [until, queue, key]);
      // The key may stand for a newer item by now.
      if ((this.dedup(queue, key)?.until ?? 0) <= nowMs) writes.remove(this.#dedup, [queue, key]);
    }
  }
}

const nothing = Buffer.alloc(0);

const packed = (value: unknown): Buffer => asBuffer(packRecord(value));

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
