import { packRecord } from '#shared/runtime/record-codec.ts';
import type { Changes, DedupEntry } from './core/overlay.ts';
import { encodeItem } from './item-codec.ts';

/** Changes as they are stored; null removes. */
export interface RowChanges {
  readonly items: ReadonlyMap<number, Uint8Array | null>;
  readonly payloads: ReadonlyMap<number, Uint8Array | null>;
  /** By `keyName`. */
  readonly keys: ReadonlyMap<string, DedupEntry | null>;
  readonly records: ReadonlyMap<string, Uint8Array | null>;
}

/** Encodes every row once, for however many places it goes to. */
export function encodeChanges(changes: Changes): RowChanges {
  const items = new Map<number, Uint8Array | null>();
  for (const [order, item] of changes.items) items.set(order, item === null ? null : encodeItem(item));
  const keys = new Map<string, DedupEntry | null>();
  for (const { queue, key, entry } of changes.dedup.values()) keys.set(keyName(queue, key), entry);
  const records = new Map<string, Uint8Array | null>();
  for (const [key, value] of changes.records) records.set(key, value === null ? null : packRecord(value));
  return { items, payloads: changes.payloads, keys, records };
}

/** The name of an idempotency key among those of all queues: no queue's name holds a NUL, a key may. */
export const keyName = (queue: string, key: string): string => `${queue}\u0000${key}`;

export function readKeyName(name: string): { readonly queue: string; readonly key: string } {
  const end = name.indexOf('\u0000');
  return { queue: name.slice(0, end), key: name.slice(end + 1) };
}
