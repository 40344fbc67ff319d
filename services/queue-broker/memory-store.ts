import { unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Item } from './core/item.ts';
import type { Changes, DedupEntry } from './core/overlay.ts';
import { decodeItem } from './item-codec.ts';
import type { ItemStore, StoreView, StoredPosition, StoredRow } from './item-store.ts';
import { type RowChanges, encodeChanges, keyName, readKeyName } from './stored-rows.ts';
import { type MapView, ViewedMap } from './viewed-map.ts';

const chunkRows = 256;

/** How many rows there are of each kind. */
export interface RowSizes {
  readonly items: number;
  readonly payloads: number;
  readonly keys: number;
  readonly records: number;
}

/** Rows in memory: the simulator's, and what a store that is slow to read keeps before it. Encoded, as LMDB's are. */
export class MemoryStore implements ItemStore {
  readonly #items = new ViewedMap<number, Uint8Array>();
  readonly #payloads = new ViewedMap<number, Uint8Array>();
  readonly #keys = new ViewedMap<string, DedupEntry>();
  readonly #records = new ViewedMap<string, Uint8Array>();
  #position: StoredPosition | undefined;

  get sizes(): RowSizes {
    return {
      items: this.#items.size,
      payloads: this.#payloads.size,
      keys: this.#keys.size,
      records: this.#records.size,
    };
  }

  position(): StoredPosition | undefined {
    return this.#position;
  }

  item(order: number): Item | undefined {
    const bytes = this.#items.get(order);
    return bytes === undefined ? undefined : decodeItem(bytes);
  }

  payload(order: number): Uint8Array | undefined {
    return this.#payloads.get(order);
  }

  dedup(queue: string, key: string): DedupEntry | undefined {
    return this.#keys.get(keyName(queue, key));
  }

  *items(): Iterable<Item> {
    for (const order of [...this.#items.keys()].sort((a, b) => a - b)) yield this.#known(order);
  }

  record(key: string): object | undefined {
    const bytes = this.#records.get(key);
    return bytes === undefined ? undefined : (unpackRecord(bytes) as object);
  }

  *records(): Iterable<readonly [string, object]> {
    for (const key of [...this.#records.keys()].sort()) yield [key, this.record(key) ?? {}];
  }

  commit(changes: Changes, position: StoredPosition): Promise<void> {
    this.apply(encodeChanges(changes), position);
    return Promise.resolve();
  }

  /** The same with rows that are encoded already, at once. */
  apply({ items, payloads, keys, records }: RowChanges, position: StoredPosition | undefined): void {
    for (const [order, bytes] of items) this.#items.put(order, bytes);
    for (const [order, bytes] of payloads) this.#payloads.put(order, bytes);
    for (const [name, entry] of keys) this.#keys.put(name, entry);
    for (const [key, bytes] of records) this.#records.put(key, bytes);
    this.#position = position;
  }

  clear(position: StoredPosition): Promise<void> {
    for (const rows of [this.#items, this.#payloads, this.#keys, this.#records]) rows.clear();
    this.#position = position;
    return Promise.resolve();
  }

  flushed(): Promise<void> {
    return Promise.resolve();
  }

  view(): StoreView {
    const items = this.#items.view();
    const payloads = this.#payloads.view();
    const keys = this.#keys.view();
    const records = this.#records.view();
    function* rows(): Iterable<StoredRow> {
      for (const [order, bytes] of entries(items)) yield { kind: 'item', order, bytes };
      for (const [order, bytes] of entries(payloads)) yield { kind: 'payload', order, bytes };
      for (const [name, entry] of entries(keys)) yield { kind: 'key', ...readKeyName(name), entry };
      for (const [key, bytes] of entries(records)) yield { kind: 'record', key, bytes };
    }
    return {
      position: this.#position,
      rows: () => inChunks(rows()),
      close: () => {
        for (const view of [items, payloads, keys, records]) view.close();
      },
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #known(order: number): Item {
    const item = this.item(order);
    if (item === undefined) throw new Error(`item ${order} vanished while it was read`);
    return item;
  }
}

function* entries<K, V>(view: MapView<K, V>): Iterable<readonly [K, V]> {
  for (const key of view.keys) {
    const value = view.get(key);
    if (value !== undefined) yield [key, value];
  }
}

// Asynchronous as every store's: whoever reads a view must bear that it takes its time.
// oxlint-disable-next-line require-await
async function* inChunks(rows: Iterable<StoredRow>): AsyncIterable<readonly StoredRow[]> {
  let chunk: StoredRow[] = [];
  for (const row of rows) {
    chunk.push(row);
    if (chunk.length < chunkRows) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
