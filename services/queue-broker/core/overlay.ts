import type { Item } from './item.ts';

/** What is stored; read where there is no newer value in memory. */
export interface RowReader {
  item(order: number): Item | undefined;
  payload(order: number): Uint8Array | undefined;
  dedup(queue: string, key: string): DedupEntry | undefined;
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
  readonly dedup: Map<string, DedupEntry & { readonly queue: string; readonly key: string }>;
  readonly paused: Map<string, boolean>;
}

const emptyChanges = (): Changes => ({
  items: new Map(),
  payloads: new Map(),
  dedup: new Map(),
  paused: new Map(),
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
    return this.#changes.dedup.get(name) ?? this.#storing.dedup.get(name) ?? this.#rows.dedup(queue, key);
  }

  putItem(item: Item): void {
    this.#changes.items.set(item.order, item);
  }

  putPayload(order: number, payload: Uint8Array): void {
    this.#changes.payloads.set(order, payload);
  }

  putDedup(queue: string, key: string, entry: DedupEntry): void {
    this.#changes.dedup.set(dedupName(queue, key), { queue, key, ...entry });
  }

  putPaused(queue: string, paused: boolean): void {
    this.#changes.paused.set(queue, paused);
  }

  remove(order: number): void {
    this.#changes.items.set(order, null);
    this.#changes.payloads.set(order, null);
  }

  /** Items changed since the last `take`. */
  get changeCount(): number {
    return this.#changes.items.size;
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

  /** The newest value of every item that is not stored yet: what a scan of the rows would miss. */
  *unstored(): Iterable<readonly [number, Item | null]> {
    for (const [order, item] of this.#storing.items) if (!this.#changes.items.has(order)) yield [order, item];
    yield* this.#changes.items;
  }
}
