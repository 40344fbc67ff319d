import type { CacheEventKind, CacheStrategy, CacheType } from '#shared/protocol/cache-schemas.ts';
import * as limits from '#shared/protocol/limits.ts';

/** What `configure` changes, as docs/protocol.md says. */
export interface NamespaceSettings {
  readonly backend: CacheType;
  readonly strategy: CacheStrategy;
  readonly entriesMax: number;
  readonly bytesMax: number;
  /** 0: entries stay until they are evicted. */
  readonly defaultTtlMs: number;
  readonly defaultGraceMs: number;
  readonly ttlJitter: number;
  readonly compressAbove: number;
  readonly earlyRefresh: number;
  readonly nearCache: boolean;
  readonly events: readonly CacheEventKind[];
}

/** The part of the quotas that is a node's which has this share of the keys. */
export const quotaOf = (
  { entriesMax, bytesMax }: Pick<NamespaceSettings, 'entriesMax' | 'bytesMax'>,
  share: number,
): { readonly entriesMax: number; readonly bytesMax: number } => ({
  // One entry is let in whatever the part: what fits the namespace is refused by no node.
  entriesMax: Math.max(1, Math.floor(entriesMax * share)),
  bytesMax: bytesMax * share,
});

export const defaultSettings: NamespaceSettings = {
  backend: 'memory',
  strategy: 'lru',
  entriesMax: limits.cacheEntriesMaxDefault,
  bytesMax: limits.cacheBytesMaxDefault,
  defaultTtlMs: 0,
  defaultGraceMs: 0,
  ttlJitter: 0,
  compressAbove: 0,
  earlyRefresh: 0,
  nearCache: false,
  events: [],
};
