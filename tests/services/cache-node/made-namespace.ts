import type { StoredValue } from '#services/cache-node/core/entry.ts';
import { MemoryStore } from '#services/cache-node/core/memory-store.ts';
import { Namespace, type SetCommand } from '#services/cache-node/core/namespace.ts';
import { cacheEntryOverheadBytes } from '#shared/protocol/limits.ts';

/** A namespace in memory whose versions count from 1. */
export function madeNamespace(name = 'n'): Namespace {
  let version = 0;
  return new Namespace({ name, makeStore: () => new MemoryStore(), nextVersion: () => (version += 1) });
}

export const stored = (value: unknown): StoredValue => {
  const encoded = JSON.stringify(value);
  return { encoding: 'application/json', encoded, sizeBytes: Buffer.byteLength(encoded) };
};

/** A set without a ttl and without a condition, but for what is given. */
export const setOf = (key: string, value: unknown, given: Partial<SetCommand> = {}): SetCommand => ({
  key,
  value: stored(value),
  ttlMs: undefined,
  sliding: false,
  condition: { kind: 'always' },
  ...given,
});

/** Bytes of an entry with a key and a value of these lengths. */
export const entryBytes = (keyBytes: number, valueBytes: number): number =>
  keyBytes + valueBytes + cacheEntryOverheadBytes;
