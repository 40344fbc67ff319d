import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { type Environment, type Table, openEnvironment } from '#shared/runtime/lmdb.ts';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Item } from './core/item.ts';
import type { Changes, DedupEntry } from './core/overlay.ts';
import { decodeItem, encodeItem, encodedState } from './item-codec.ts';
import type { ItemStore, StoredPosition } from './item-store.ts';

/** Expired idempotency keys that one commit removes, so that the table of keys does not grow for ever. */
const expiredKeysMax = 1_000;

const positionKey = 'position';

/** The rows of one partition in an LMDB environment of its own. */
export class LmdbStore implements ItemStore {
  readonly #environment: Environment;
  readonly #items: Table<number>;
  readonly #payloads: Table<number>;
  /** (queue, state, order) → nothing: for lists. */
  readonly #byState: Table<[string, string, number]>;
  readonly #dedup: Table<[string, string]>;
  /** (until, queue, key) → nothing: for removing keys whose window is over. */
  readonly #dedupByTime: Table<[number, string, string]>;
  readonly #paused: Table<string>;
  readonly #meta: Table<string>;

  constructor(path: string) {
    this.#environment = openEnvironment({ path });
    this.#items = this.#environment.table('items');
    this.#payloads = this.#environment.table('payloads');
    this.#byState = this.#environment.table('by-state');
    this.#dedup = this.#environment.table('dedup');
    this.#dedupByTime = this.#environment.table('dedup-by-time');
    this.#paused = this.#environment.table('paused');
    this.#meta = this.#environment.table('meta');
  }

  position(): StoredPosition | undefined {
    const bytes = this.#meta.get(positionKey);
    return bytes === undefined ? undefined : (unpackRecord(bytes) as StoredPosition);
  }

  item(order: number): Item | undefined {
    const bytes = this.#items.get(order);
    return bytes === undefined ? undefined : decodeItem(bytes);
  }

  payload(order: number): Uint8Array | undefined {
    return this.#payloads.get(order);
  }

  dedup(queue: string, key: string): DedupEntry | undefined {
    const bytes = this.#dedup.get([queue, key]);
    return bytes === undefined ? undefined : (unpackRecord(bytes) as DedupEntry);
  }

  *items(): Iterable<Item> {
    for (const { value } of this.#items.getRange()) yield decodeItem(value);
  }

  *pausedQueues(): Iterable<string> {
    yield* this.#paused.getKeys();
  }

  *scan(queue: string, state: QueueStatus | undefined, after: number): Iterable<Item> {
    if (state === undefined) {
      for (const { value } of this.#items.getRange({ start: after + 1 })) {
        const item = decodeItem(value);
        if (item.queue === queue) yield item;
      }
      return;
    }
    const range = { start: [queue, state, after + 1], end: [queue, state, Number.MAX_SAFE_INTEGER] } as const;
    for (const [, , order] of this.#byState.getKeys({ start: [...range.start], end: [...range.end] })) {
      const item = this.item(order);
      if (item !== undefined) yield item;
    }
  }

  async commit(changes: Changes, position: StoredPosition): Promise<void> {
    await this.#environment.transaction(() => {
      // Before the new keys: reading sees what was committed, so an old entry would take a new one of its name with it.
      this.#removeExpiredKeys(position.applied.at);
      for (const [order, item] of changes.items) this.#putItem(order, item);
      for (const [order, payload] of changes.payloads) this.#putPayload(order, payload);
      for (const { queue, key, ...entry } of changes.dedup.values()) this.#putDedup(queue, key, entry);
      for (const [queue, paused] of changes.paused) {
        if (paused) void this.#paused.put(queue, nothing);
        else void this.#paused.remove(queue);
      }
      void this.#meta.put(positionKey, packed(position));
    });
  }

  close(): Promise<void> {
    return this.#environment.close();
  }

  #putItem(order: number, item: Item | null): void {
    const old = this.#items.get(order);
    const oldState = old === undefined ? undefined : encodedState(old);
    if (item === null) {
      if (old === undefined || oldState === undefined) return;
      void this.#byState.remove([decodeItem(old).queue, oldState, order]);
      void this.#items.remove(order);
      return;
    }
    if (oldState !== undefined && oldState !== item.state)
      void this.#byState.remove([item.queue, oldState, order]);
    if (oldState !== item.state) void this.#byState.put([item.queue, item.state, order], nothing);
    void this.#items.put(order, asBuffer(encodeItem(item)));
  }

  #putPayload(order: number, payload: Uint8Array | null): void {
    if (payload === null) void this.#payloads.remove(order);
    else void this.#payloads.put(order, asBuffer(payload));
  }

  #putDedup(queue: string, key: string, entry: DedupEntry): void {
    void this.#dedup.put([queue, key], packed(entry));
    void this.#dedupByTime.put([entry.until, queue, key], nothing);
  }

  #removeExpiredKeys(nowMs: number): void {
    for (const [until, queue, key] of this.#dedupByTime.getKeys({
      end: [nowMs, '', ''],
      limit: expiredKeysMax,
    })) {
      void this.#dedupByTime.remove([until, queue, key]);
      // The key may stand for a newer item by now.
      if ((this.dedup(queue, key)?.until ?? 0) <= nowMs) void this.#dedup.remove([queue, key]);
    }
  }
}

const nothing = Buffer.alloc(0);

const packed = (value: unknown): Buffer => asBuffer(packRecord(value));

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
