import { type Static, type TSchema, Type } from 'typebox';
import { CacheKey, Duration, Key, Name, Strict, Token, Word } from './fields.ts';
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

export const DeleteRequest = Strict({
  key: CacheKey,
  /** Deletes this version and no other. */
  ifVersion: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
});
export type DeleteRequest = Static<typeof DeleteRequest>;

/** A word that entries are given and invalidated by. */
const Tag = Type.String({ minLength: 1, maxLength: limits.tagLengthMax });

/** `value` is any value; only its presence is checked here, its size by the cache. */
export const SetRequest = Strict({
  key: CacheKey,
  value: Type.Unknown(),
  ttl: Type.Optional(Duration),
  sliding: Type.Optional(Type.Boolean()),
  /** How long after its ttl the entry may still be served, marked as stale. */
  grace: Type.Optional(Duration),
  tags: Type.Optional(Type.Array(Tag, { maxItems: limits.tagsMax })),
  ifAbsent: Type.Optional(Type.Boolean()),
  ifVersion: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  /** The right to fill the key, as `load` gave it. */
  loadToken: Type.Optional(Token),
});
export type SetRequest = Static<typeof SetRequest>;

const keys = Type.Array(Type.Unknown(), { minItems: 1, maxItems: limits.batchItemsMax });

/** A larger one is another number by the time it was read. */
const ExactInteger = Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER });

export const IncrementRequest = Strict({
  key: CacheKey,
  by: Type.Optional(ExactInteger),
  initial: Type.Optional(ExactInteger),
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

export const InvalidateTagsRequest = Strict({
  tags: Type.Array(Tag, { minItems: 1, maxItems: limits.cacheTagsPerRequestMax }),
});
export type InvalidateTagsRequest = Static<typeof InvalidateTagsRequest>;

export const LoadRequest = Strict({
  key: CacheKey,
  /** How long the right to fill is good. */
  lease: Type.Optional(Duration),
  /** How long to wait for somebody else's fill. */
  wait: Type.Optional(Duration),
});
export type LoadRequest = Static<typeof LoadRequest>;

export const LoadFailedRequest = Strict({
  key: CacheKey,
  loadToken: Token,
  error: Strict({ message: Type.String({ maxLength: limits.errorMessageLengthMax }) }),
  /** How long the failure itself is remembered; left out: not at all. */
  ttl: Type.Optional(Duration),
});
export type LoadFailedRequest = Static<typeof LoadFailedRequest>;

/** Removals without a request, which are told on the events' subject by choice. */
export const CacheEventKind = Word(['evicted', 'expired'] as const);
export type CacheEventKind = Static<typeof CacheEventKind>;

export const ConfigureRequest = Strict({
  backend: Type.Optional(CacheType),
  strategy: Type.Optional(CacheStrategy),
  entriesMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000_000 })),
  bytesMax: Type.Optional(Type.Integer({ minimum: 1_024, maximum: Number.MAX_SAFE_INTEGER })),
  defaultTtl: Type.Optional(Duration),
  defaultGrace: Type.Optional(Duration),
  /** The part by which a ttl may be shortened at random, so that what was set together does not expire together. */
  ttlJitter: Type.Optional(Type.Number({ minimum: 0, maximum: limits.cacheTtlJitterMax })),
  /** Values of more bytes are kept compressed; 0: none. */
  compressAbove: Type.Optional(
    Type.Union(
      [
        Type.Literal(0),
        Type.Integer({ minimum: limits.cacheCompressAboveMin, maximum: limits.payloadBytesMax }),
      ],
      {
        'x-expected': `0 or ${limits.cacheCompressAboveMin} to ${limits.payloadBytesMax} bytes`,
      },
    ),
  ),
  /** The β of XFetch, 1 being the paper's own; 0: no early refresh. */
  earlyRefresh: Type.Optional(Type.Number({ minimum: 0, maximum: limits.cacheEarlyRefreshMax })),
  nearCache: Type.Optional(Type.Boolean()),
  events: Type.Optional(Type.Array(CacheEventKind, { uniqueItems: true })),
});
export type ConfigureRequest = Static<typeof ConfigureRequest>;

/** What a client asks that noticed a gap in the sequence of a node's events. */
export const MissedRequest = Strict({
  epoch: Type.String({ minLength: 1, maxLength: 64 }),
  /** The last sequence that came without a gap before it. */
  after: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
});
export type MissedRequest = Static<typeof MissedRequest>;

/** The operations of `trivet.cache.<namespace>.<operation>` and the schema of each one's request. */
export const cacheRequests = {
  get: KeyRequest,
  set: SetRequest,
  'get-many': Strict({ keys }),
  'set-many': Strict({ items: keys }),
  'delete-many': Strict({ keys }),
  delete: DeleteRequest,
  exists: KeyRequest,
  increment: IncrementRequest,
  touch: TouchRequest,
  clear: Strict({}),
  'invalidate-tags': InvalidateTagsRequest,
  keys: KeysRequest,
  load: LoadRequest,
  'load-failed': LoadFailedRequest,
  stats: Strict({}),
  configure: ConfigureRequest,
  missed: MissedRequest,
} as const satisfies Record<string, TSchema>;

export type CacheRequestName = keyof typeof cacheRequests;

export const isCacheOperation = (word: string): word is CacheRequestName =>
  Object.hasOwn(cacheRequests, word);

export const GetReply = Type.Object({
  hit: Type.Boolean(),
  value: Type.Optional(Type.Unknown()),
  /** Left out where the entry does not expire; 0 for a stale one. */
  ttlMs: Type.Optional(Type.Integer()),
  version: Type.Optional(Type.Integer()),
  /** The ttl is over and the grace is not. */
  stale: Type.Optional(Type.Boolean()),
  /** Where the namespace's `nearCache` is on and the entry has some. */
  tags: Type.Optional(Type.Array(Type.String())),
});
export type GetReply = Static<typeof GetReply>;

/** As `get`; with a `loadToken` the caller is the one to fill the key (or to refresh it, where it is a hit). */
export const LoadReply = Type.Object({
  ...GetReply.properties,
  loadToken: Type.Optional(Type.Integer()),
  /** How long the right is good, from when the node gave it. */
  leaseMs: Type.Optional(Type.Integer()),
});
export type LoadReply = Static<typeof LoadReply>;

/**
 * An event on `trivet.events.cache.<namespace>`. `sequence` grows by one with each event of one namespace and `epoch`
 * (one run of one node); a heartbeat carries the last one again.
 */
const eventHead = { epoch: Type.String(), sequence: Type.Integer() };

export const CacheEvent = Type.Union([
  /** What is known of these keys is out of date where its version is lower. */
  Type.Object({ ...eventHead, keys: Type.Array(Type.String()), versions: Type.Array(Type.Integer()) }),
  Type.Object({ ...eventHead, clear: Type.Literal(true), version: Type.Integer() }),
  Type.Object({ ...eventHead, tags: Type.Array(Type.String()), version: Type.Integer() }),
  Type.Object({ ...eventHead, evicted: Type.Array(Type.String()) }),
  Type.Object({ ...eventHead, expired: Type.Array(Type.String()) }),
  Type.Object({ ...eventHead, degraded: Type.Boolean() }),
  Type.Object({ ...eventHead, heartbeat: Type.Literal(true) }),
]);
export type CacheEvent = Static<typeof CacheEvent>;

/** Answer of `missed`. */
export const MissedReply = Type.Object({
  epoch: Type.String(),
  /** The last event's; what came behind it comes by itself. */
  sequence: Type.Integer(),
  /** The events after the one that was named, in order; left out when the node no longer has them all. */
  events: Type.Optional(Type.Array(CacheEvent)),
});
export type MissedReply = Static<typeof MissedReply>;

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
  /** Of keys, values and 100 for each entry: what the quota counts. */
  bytes: Type.Integer(),
  /** The part of them that is in memory, where there is a backend: of `redis` no other part is counted. */
  inMemory: Type.Optional(Type.Object({ entries: Type.Integer(), bytes: Type.Integer() })),
  /** Of memory that is held for the entries, beyond their keys and values. */
  overheadBytes: Type.Integer(),
  entriesMax: Type.Integer(),
  bytesMax: Type.Integer(),
  defaultTtlMs: Type.Integer(),
  defaultGraceMs: Type.Integer(),
  ttlJitter: Type.Number(),
  compressAbove: Type.Integer(),
  earlyRefresh: Type.Number(),
  nearCache: Type.Boolean(),
  events: Type.Array(CacheEventKind),
  hits: Type.Integer(),
  /** Hits within the grace; counted as hits, too. */
  staleHits: Type.Integer(),
  misses: Type.Integer(),
  hitRate: Type.Number(),
  sets: Type.Integer(),
  deletes: Type.Integer(),
  evictions: Type.Integer(),
  /** What asked for the room: the quota of entries, the quota of bytes, or the bytes of the node. */
  evictionsBy: Type.Object({ entries: Type.Integer(), bytes: Type.Integer(), node: Type.Integer() }),
  expirations: Type.Integer(),
  /** Entries that were found to be invalidated by one of their tags, and removed. */
  invalidations: Type.Integer(),
  /** Rights to fill that were given, fills that failed, rights that ended unused; callers that wait now. */
  loads: Type.Object({
    granted: Type.Integer(),
    failed: Type.Integer(),
    expired: Type.Integer(),
    waiting: Type.Integer(),
  }),
  /** Of the node's own work on a request, over the last one to two minutes; a `load` that waits is not counted. */
  latencyMs: Type.Object({ p50: Type.Number(), p95: Type.Number(), p99: Type.Number() }),
  /** Memory stands in for a backend that is down. */
  degraded: Type.Boolean(),
});
export type CacheStats = Static<typeof CacheStats>;

/** Answer of `trivet.cache.stats`: the sums over all namespaces, and the figures of each. */
export const CacheClusterStats = Type.Object({
  ...Type.Pick(CacheStats, [
    'entries',
    'bytes',
    'overheadBytes',
    'hits',
    'staleHits',
    'misses',
    'hitRate',
    'sets',
    'deletes',
    'evictions',
    'expirations',
    'invalidations',
  ]).properties,
  namespaces: Type.Array(CacheStats),
});
export type CacheClusterStats = Static<typeof CacheClusterStats>;

/** Body of `POST /cache/operation`. */
export const CacheRequest = Strict(
  {
    operation: CacheOperation,
    namespace: Type.Optional(Name),
    key: Type.Optional(CacheKey),
    value: Type.Optional(Type.Unknown()),
    ttl: Type.Optional(Duration),
  },
  { examples: [{ operation: 'set', namespace: 'shop', key: 'price:7', value: 12.5, ttl: '5m' }] },
);
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
