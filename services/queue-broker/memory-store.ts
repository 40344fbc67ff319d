import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Item } from './core/item.ts';
import type { Changes, DedupEntry } from './core/overlay.ts';
import { decodeItem, encodeItem } from './item-codec.ts';
import type { ItemStore, StoreView, StoredPosition, StoredRow } from './item-store.ts';

interface KeyRow {
  readonly queue: string;
  readonly key: string;
  readonly entry: DedupEntry;
}

const chunkRows = 256;

/** Rows in memory: for the simulator and for `QueueType` `memory`. Rows are encoded all the same, as LMDB's are. */
export class MemoryStore implements ItemStore {
  readonly #items = new Map<number, Uint8Array>();
  readonly #payloads = new Map<number, Uint8Array>();
  readonly #dedup = new Map<string, KeyRow>();
  readonly #records = new Map<string, Uint8Array>();
  #position: StoredPosition | undefined;

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
    return this.#dedup.get(`${queue}/${key}`)?.entry;
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
    for (const [order, item] of changes.items) {
      if (item === null) this.#items.delete(order);
      else this.#items.set(order, encodeItem(item));
    }
    for (const [order, payload] of changes.payloads) {
      if (payload === null) this.#payloads.delete(order);
      else this.#payloads.set(order, payload);
    }
    for (const { queue, key, entry } of changes.dedup.values()) {
      if (entry === null) this.#dedup.delete(`${queue}/${key}`);
      else this.#dedup.set(`${queue}/${key}`, { queue, key, entry });
    }
    for (const [key, value] of changes.records) {
      if (value === null) this.#records.delete(key);
      else this.#records.set(key, packRecord(value));
    }
    this.#position = position;
    return Promise.resolve();
  }

  clear(position: StoredPosition): Promise<void> {
    for (const rows of [this.#items, this.#payloads, this.#dedup, this.#records]) rows.clear();
    this.#position = position;
    return Promise.resolve();
  }

  flushed(): Promise<void> {
    return Promise.resolve();
  }

  view(): StoreView {
    const rows: StoredRow[] = [];
    for (const [order, bytes] of this.#items) rows.push({ kind: 'item', order, bytes });
    for (const [order, bytes] of this.#payloads) rows.push({ kind: 'payload', order, bytes });
    for (const { queue, key, entry } of this.#dedup.values()) rows.push({ kind: 'key', queue, key, entry });
    for (const [key, bytes] of this.#records) rows.push({ kind: 'record', key, bytes });
    return {
      position: this.#position,
      rows: () => inChunks(rows),
      close: () => undefined,
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

// Asynchronous as every store's: whoever reads a view must bear that it takes its time.
// oxlint-disable-next-line require-await
async function* inChunks(rows: readonly StoredRow[]): AsyncIterable<readonly StoredRow[]> {
  for (let at = 0; at < rows.length; at += chunkRows) yield rows.slice(at, at + chunkRows);
}
