import { type Static, type TSchema, Type } from 'typebox';
import { CacheKey, Duration, Key, Name, Strict, Word } from './fields.ts';
import * as limits from './limits.ts';

export const CacheType = Word(['memory', 'redis', 'file'] as const);
export type CacheType = Static<typeof CacheType>;

export const CacheStrategy = Word(['lru', 's3-fifo', 'w-tinylfu'] as const);
export type CacheStrategy = Static<typeof CacheStrategy>;

/** The operations of `POST /cache/operation`. */
export const CacheOperation = Word(['get', 'set', 'delete', 'clear', 'exists', 'stats'] as const);
export type CacheOperation = Static<typeof CacheOperation>;

export const KeyRequest = Strict({ key: CacheKey });
export type KeyRequest = Static<typeof KeyRequest>;

/** `value` is any value; only its presence is checked here, its size by the cache. */
export const SetRequest = Strict({
  key: CacheKey,
  value: Type.Unknown(),
  ttl: Type.Optional(Duration),
  sliding: Type.Optional(Type.Boolean()),
  ifAbsent: Type.Optional(Type.Boolean()),
  ifVersion: Type.Optional(Type.Integer({ minimum: 0 })),
});
export type SetRequest = Static<typeof SetRequest>;

const keys = Type.Array(Type.Unknown(), { minItems: 1, maxItems: limits.batchItemsMax });

export const IncrementRequest = Strict({
  key: CacheKey,
  by: Type.Optional(Type.Integer()),
  initial: Type.Optional(Type.Integer()),
  ttl: Type.Optional(Duration),
});
export type IncrementRequest = Static<typeof IncrementRequest>;

export const TouchRequest = Strict({ key: CacheKey, ttl: Duration });
export type TouchRequest = Static<typeof TouchRequest>;

export const KeysRequest = Strict({
  prefix: Type.Optional(Type.String({ maxLength: limits.cacheKeyBytesMax })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.cacheKeysPageMax })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 2 * limits.cacheKeyBytesMax })),
});
export type KeysRequest = Static<typeof KeysRequest>;

export const ConfigureRequest = Strict({
  defaultTtl: Type.Optional(Duration),
  entriesMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 })),
  bytesMax: Type.Optional(Type.Integer({ minimum: 1_024, maximum: Number.MAX_SAFE_INTEGER })),
});
export type ConfigureRequest = Static<typeof ConfigureRequest>;

/** The operations of `trivet.cache.<namespace>.<operation>` and the schema of each one's request. */
export const cacheRequests = {
  get: KeyRequest,
  set: SetRequest,
  'get-many': Strict({ keys }),
  'set-many': Strict({ items: keys }),
  'delete-many': Strict({ keys }),
  delete: KeyRequest,
  exists: KeyRequest,
  increment: IncrementRequest,
  touch: TouchRequest,
  clear: Strict({}),
  keys: KeysRequest,
  stats: Strict({}),
  configure: ConfigureRequest,
} as const satisfies Record<string, TSchema>;

export type CacheRequestName = keyof typeof cacheRequests;

export const isCacheOperation = (word: string): word is CacheRequestName =>
  Object.hasOwn(cacheRequests, word);

export const GetReply = Type.Object({
  hit: Type.Boolean(),
  value: Type.Optional(Type.Unknown()),
  ttlMs: Type.Optional(Type.Integer()),
  version: Type.Optional(Type.Integer()),
});
export type GetReply = Static<typeof GetReply>;

export const CacheItem = Type.Object({
  namespace: Name,
  key: CacheKey,
  value: Type.Unknown(),
  version: Type.Integer(),
  ttlMs: Type.Optional(Type.Integer()),
  tags: Type.Optional(Type.Array(Key)),
  sizeBytes: Type.Integer(),
  createdAt: Type.String(),
});
export type CacheItem = Static<typeof CacheItem>;

export const CacheStats = Type.Object({
  namespace: Name,
  backend: CacheType,
  strategy: CacheStrategy,
  entries: Type.Integer(),
  bytes: Type.Integer(),
  entriesMax: Type.Integer(),
  bytesMax: Type.Integer(),
  hits: Type.Integer(),
  misses: Type.Integer(),
  hitRate: Type.Number(),
  sets: Type.Integer(),
  deletes: Type.Integer(),
  evictions: Type.Integer(),
  expirations: Type.Integer(),
});
export type CacheStats = Static<typeof CacheStats>;

/** Answer of `trivet.cache.stats`: the sums over all namespaces, and the figures of each. */
export const CacheClusterStats = Type.Object({
  ...Type.Omit(CacheStats, ['namespace', 'backend', 'strategy', 'entriesMax', 'bytesMax']).properties,
  namespaces: Type.Array(CacheStats),
});
export type CacheClusterStats = Static<typeof CacheClusterStats>;

/** Body of `POST /cache/operation`. */
export const CacheRequest = Strict({
  operation: CacheOperation,
  namespace: Type.Optional(Name),
  key: Type.Optional(CacheKey),
  value: Type.Optional(Type.Unknown()),
  ttl: Type.Optional(Duration),
});
export type CacheRequest = Static<typeof CacheRequest>;

/** Answer of `POST /cache/operation`: the fields of the operation that was asked. */
export const CacheResponse = Type.Object({
  hit: Type.Optional(Type.Boolean()),
  value: Type.Optional(Type.Unknown()),
  ttlMs: Type.Optional(Type.Integer()),
  version: Type.Optional(Type.Integer()),
  deleted: Type.Optional(Type.Boolean()),
  exists: Type.Optional(Type.Boolean()),
  cleared: Type.Optional(Type.Integer()),
  stats: Type.Optional(CacheStats),
});
export type CacheResponse = Static<typeof CacheResponse>;
