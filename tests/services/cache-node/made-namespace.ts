import type { SetCommand } from '#services/cache-node/core/commands.ts';
import type { Entry, StoredValue } from '#services/cache-node/core/entry.ts';
import { keyHash } from '#services/cache-node/core/key-hash.ts';
import { Namespace } from '#services/cache-node/core/namespace.ts';
import { PackedStore } from '#services/cache-node/core/packed-store.ts';
import type { NoteChange } from '#services/cache-node/core/residence.ts';
import { cacheEntryOverheadBytes } from '#shared/protocol/limits.ts';

export interface MadeNamespaceOptions {
  readonly name?: string;
  /** What chance gives, over and over; half by default. */
  readonly random01?: () => number;
  readonly note?: NoteChange;
}

/** A namespace in memory whose versions count from 1. */
export function madeNamespace(options: MadeNamespaceOptions = {}): Namespace {
  let version = 0;
  return new Namespace({
    name: options.name ?? 'n',
    epoch: 'epoch',
    makeStore: (strategy) => new PackedStore(keyHash([1, 2]), strategy),
    nextVersion: () => (version += 1),
    sawVersion: (seen) => {
      version = Math.max(version, seen);
    },
    random01: options.random01 ?? (() => 0.5),
    note: options.note,
  });
}

export const stored = (value: unknown): StoredValue => ({
  encoding: 'application/json',
  bytes: Buffer.from(JSON.stringify(value)),
  rawBytes: 0,
});

/** The value of an entry that was set in JSON. */
export const valueOf = (entry: Entry | undefined): unknown =>
  entry === undefined ? undefined : (JSON.parse(Buffer.from(entry.value.bytes).toString()) as unknown);

/** A set without a ttl and without a condition, but for what is given. */
export const setOf = (key: string, value: unknown, given: Partial<SetCommand> = {}): SetCommand => ({
  key,
  value: stored(value),
  ttlMs: undefined,
  sliding: false,
  graceMs: undefined,
  tags: [],
  condition: { kind: 'always' },
  loadToken: undefined,
  ...given,
});

/** Bytes of an entry with a key and a value of these lengths. */
export const entryBytes = (keyBytes: number, valueBytes: number): number =>
  keyBytes + valueBytes + cacheEntryOverheadBytes;
