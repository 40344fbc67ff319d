import type { Item } from './item.ts';

/** What is stored; read where there is no newer value in memory. */
export interface RowReader {
  item(order: number): Item | undefined;
  /** The payload that has a row of its own. */
  payload(order: number): Uint8Array | undefined;
  dedup(queue: string, key: string): DedupEntry | undefined;
  record(key: string): object | undefined;
}

/** An idempotency key and the item that it stands for. */
export interface DedupEntry {
  readonly order: number;
  readonly until: number;
}

/** What is to be stored; null removes. */
export interface Changes {
  readonly items: Map<number, Item | null>;
  readonly payloads: Map<number, Uint8Array | null>;
  readonly dedup: Map<string, KeyChange>;
  /** Plain data by key (`queue-records.ts`). */
  readonly records: Map<string, object | null>;
  /** Items that have another payload: nothing may be left of the one they had. */
  readonly edited: Set<number>;
}

/** What becomes of an idempotency key; without an entry it is free again. */
export interface KeyChange {
  readonly queue: string;
  readonly key: string;
  readonly entry: DedupEntry | null;
}

export const emptyChanges = (): Changes => ({
  items: new Map(),
  payloads: new Map(),
  dedup: new Map(),
  records: new Map(),
  edited: new Set(),
});

// Neither a queue's name nor anything else that NATS carries in a subject holds a NUL.
const dedupName = (queue: string, key: string): string => `${queue}\u0000${key}`;

/**
 * The rows with what has changed in memory laid over them, in two layers: changed since the last `take`, and taken
 * but not yet stored. Rows plus both layers are always the newest value.
 */
export class Overlay {
  readonly #rows: RowReader;
  #changes = emptyChanges();
  #storing = emptyChanges();

  constructor(rows: RowReader) {
    this.#rows = rows;
  }

  item(order: number): Item | undefined {
    const newest = this.#changes.items.get(order);
    if (newest !== undefined) return newest ?? undefined;
    const storing = this.#storing.items.get(order);
    if (storing !== undefined) return storing ?? undefined;
    return this.#rows.item(order);
  }

  payload(order: number): Uint8Array | undefined {
    const newest = this.#changes.payloads.get(order);
    if (newest !== undefined) return newest ?? undefined;
    const storing = this.#storing.payloads.get(order);
    if (storing !== undefined) return storing ?? undefined;
    return this.#rows.payload(order);
  }

  dedup(queue: string, key: string): DedupEntry | undefined {
    const name = dedupName(queue, key);
    const change = this.#changes.dedup.get(name) ?? this.#storing.dedup.get(name);
    return change === undefined ? this.#rows.dedup(queue, key) : (change.entry ?? undefined);
  }

  record(key: string): object | undefined {
    const newest = this.#changes.records.get(key);
    if (newest !== undefined) return newest ?? undefined;
    const storing = this.#storing.records.get(key);
    if (storing !== undefined) return storing ?? undefined;
    return this.#rows.record(key);
  }

  putItem(item: Item): void {
    this.#changes.items.set(item.order, item);
  }

  /** Notes that an item has another payload from now on. */
  edited(order: number): void {
    this.#changes.edited.add(order);
  }

  putPayload(order: number, payload: Uint8Array | null): void {
    this.#changes.payloads.set(order, payload);
  }

  /** Lets a key stand for an item, or (null) for none. */
  putDedup(queue: string, key: string, entry: DedupEntry | null): void {
    this.#changes.dedup.set(dedupName(queue, key), { queue, key, entry });
  }

  putRecord(key: string, value: object | null): void {
    this.#changes.records.set(key, value);
  }

  /** Removes an item with its payload. */
  remove(item: Item): void {
    this.#changes.items.set(item.order, null);
    if (item.inline === undefined) this.#changes.payloads.set(item.order, null);
  }

  /** Items and records changed since the last `take`. */
  get changeCount(): number {
    return this.#changes.items.size + this.#changes.records.size;
  }

  /** Hands over what is to be stored. Until `stored` is called it is still read from here. */
  take(): Changes {
    this.#storing = this.#changes;
    this.#changes = emptyChanges();
    return this.#storing;
  }

  stored(): void {
    this.#storing = emptyChanges();
  }
}
