import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Item } from './core/item.ts';
import type { Changes, DedupEntry } from './core/overlay.ts';
import { decodeItem, encodeItem } from './item-codec.ts';
import type { ItemStore, StoredPosition } from './item-store.ts';

/** Rows in memory: for the simulator and for `QueueType` `memory`. Rows are encoded all the same, as LMDB's are. */
export class MemoryStore implements ItemStore {
  readonly #items = new Map<number, Uint8Array>();
  readonly #payloads = new Map<number, Uint8Array>();
  readonly #dedup = new Map<string, DedupEntry>();
  readonly #paused = new Set<string>();
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
    return this.#dedup.get(`${queue}/${key}`);
  }

  *items(): Iterable<Item> {
    for (const order of this.#orders(0)) yield this.#known(order);
  }

  pausedQueues(): Iterable<string> {
    return this.#paused;
  }

  *scan(queue: string, state: QueueStatus | undefined, after: number): Iterable<Item> {
    for (const order of this.#orders(after)) {
      const item = this.#known(order);
      if (item.queue === queue && (state === undefined || item.state === state)) yield item;
    }
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
    for (const { queue, key, order, until } of changes.dedup.values())
      this.#dedup.set(`${queue}/${key}`, { order, until });
    for (const [queue, paused] of changes.paused) {
      if (paused) this.#paused.add(queue);
      else this.#paused.delete(queue);
    }
    this.#position = position;
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #orders(after: number): readonly number[] {
    return [...this.#items.keys()].filter((order) => order > after).sort((a, b) => a - b);
  }

  #known(order: number): Item {
    const item = this.item(order);
    if (item === undefined) throw new Error(`item ${order} vanished while it was read`);
    return item;
  }
}
