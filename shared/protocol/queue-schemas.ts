import { type Static, type TSchema, Type } from 'typebox';
import { Duration, ItemId, Key, KeyText, Name, Strict, Token, Word } from './fields.ts';
import * as limits from './limits.ts';
import { AwaitResult, Cancel, Log, Logs, Purge, Update } from './queue-more-schemas.ts';
import { QueuePriority, UserHeaders, itemOptions, ownedItemOptions } from './queue-item-options.ts';
import { Configure } from './queue-settings-schemas.ts';
import { EnqueueFlow } from './queue-more-schemas.ts';
import { states } from './queue-words.ts';

export { Backoff, QueuePriority, UserHeaders, itemOptions } from './queue-item-options.ts';
export { priorities, states } from './queue-words.ts';

export type QueueStatus = (typeof states)[number];
export const QueueStatus = Word(states);

/** `payload` is any value; only its presence is checked here, its size by the broker. */
export const EnqueueItem = Strict({ payload: Type.Unknown(), ...itemOptions });
export type EnqueueItem = Static<typeof EnqueueItem>;

/** The options of `enqueue` and of a plain publish, as its headers carry them. */
export const EnqueueOptions = Strict(itemOptions);
export type EnqueueOptions = Static<typeof EnqueueOptions>;

/** Both as a service sends them that says of each item whose it is. */
export const OwnedItem = Strict({ payload: Type.Unknown(), ...ownedItemOptions });
export const OwnedOptions = Strict(ownedItemOptions);

/** The envelope alone: a fault in one item refuses that item only. */
const batch = { items: Type.Array(Type.Unknown(), { minItems: 1, maxItems: limits.batchItemsMax }) };

export const EnqueueMany = Strict(batch);

export const Dequeue = Strict({
  max: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.dequeueItemsMax })),
  wait: Type.Optional(Duration),
  lease: Type.Optional(Duration),
  worker: Type.Optional(Key),
});
export type Dequeue = Static<typeof Dequeue>;

export const Fetch = Strict({
  max: Type.Integer({ minimum: 1, maximum: limits.dequeueItemsMax }),
  lease: Type.Optional(Duration),
});
export type Fetch = Static<typeof Fetch>;

const leased = { id: ItemId, token: Token };

export const CompleteItem = Strict({ ...leased, result: Type.Optional(Type.Unknown()) });
export type CompleteItem = Static<typeof CompleteItem>;

export const Failure = Strict({
  message: Type.String({ maxLength: limits.errorMessageLengthMax }),
  type: Type.Optional(Type.String({ maxLength: limits.keyLengthMax })),
  stack: Type.Optional(Type.String({ maxLength: limits.stackLengthMax })),
});
export type Failure = Static<typeof Failure>;

export const FailItem = Strict({
  ...leased,
  error: Failure,
  retry: Type.Optional(Type.Boolean()),
  delay: Type.Optional(Duration),
});
export type FailItem = Static<typeof FailItem>;

export const ExtendItem = Strict({
  ...leased,
  lease: Duration,
  progress: Type.Optional(Type.Unknown()),
});
export type ExtendItem = Static<typeof ExtendItem>;

export const ReleaseItem = Strict({ ...leased, delay: Type.Optional(Duration) });
export type ReleaseItem = Static<typeof ReleaseItem>;

/** `complete` and `fail` may fetch the next items in the same round trip. */
export const finishFields = { fetch: Type.Optional(Fetch) };

/** The envelope of a batch of `complete`, `fail`, `extend` or `release`. */
export const BatchEnvelope = Strict({ ...batch, ...finishFields });
export type BatchEnvelope = Static<typeof BatchEnvelope>;

export const Get = Strict({ id: ItemId });
export type Get = Static<typeof Get>;

/** Text in declared search fields, by path. */
export const SearchFields = Type.Record(
  KeyText(8 * (64 + 1)),
  Type.String({ minLength: 1, maxLength: limits.searchTextLengthMax }),
  {
    additionalProperties: false,
    maxProperties: limits.searchPathsMax,
    'x-expected': 'an object of at most 8 texts of 1 to 256 characters, by the paths of declared fields',
  },
);

/** Where a page begins: what the page before said. */
const Cursor = Type.String({ minLength: 1, maxLength: 64 });

export const List = Strict({
  state: Type.Optional(QueueStatus),
  priority: Type.Optional(QueuePriority),
  group: Type.Optional(Key),
  key: Type.Optional(Key),
  /** Whose, as `get` says. */
  owner: Type.Optional(Key),
  worker: Type.Optional(Key),
  fields: Type.Optional(SearchFields),
  q: Type.Optional(Type.String({ minLength: 1, maxLength: limits.keyLengthMax })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.pageItemsMax })),
  cursor: Type.Optional(Cursor),
});
export type List = Static<typeof List>;

/** One item by its id, or all that are in `state`: `failed` is the only one that can be replayed. */
export const Replay = Strict({
  id: Type.Optional(ItemId),
  state: Type.Optional(Word(['failed'] as const)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.batchItemsMax })),
  cursor: Type.Optional(Cursor),
});
export type Replay = Static<typeof Replay>;

export const Reprioritize = Strict({ id: ItemId, priority: QueuePriority });
export type Reprioritize = Static<typeof Reprioritize>;

export const Empty = Strict({});

/**
 * A queue as the lists of all queues name it. That may be no name that can be asked for: a plain publish goes to
 * whatever token NATS lets through, and is kept there as failed.
 */
export const ListedQueue = Type.String({
  minLength: 1,
  maxLength: limits.subjectLengthMax,
  pattern: String.raw`^[^ \t\r\n.]+$`,
  'x-expected': 'the name of a queue, as the lists of all queues have it',
});

/** A page of all queues, in the order of their names; the cursor is the last name of the page before. */
export const QueuePage = Strict({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.queuesPageMax })),
  cursor: Type.Optional(ListedQueue),
});
export type QueuePage = Static<typeof QueuePage>;

/** The same of figures. */
export const QueueStatsPage = Strict({ ...QueuePage.properties, brief: Type.Optional(Type.Boolean()) });
export type QueueStatsPage = Static<typeof QueueStatsPage>;

/**
 * The operations of `trivet.queue.<queue>.<operation>` and the schema of each one's request. For operations on
 * leased items it is the schema of the single form; the batch form is `BatchEnvelope` around the same items.
 * `enqueue` is not here: its body is the payload, its options are headers (`EnqueueOptions`).
 */
export const queueRequests = {
  'enqueue-many': EnqueueMany,
  'enqueue-flow': EnqueueFlow,
  dequeue: Dequeue,
  complete: Strict({ ...CompleteItem.properties, ...finishFields }),
  fail: Strict({ ...FailItem.properties, ...finishFields }),
  extend: ExtendItem,
  release: ReleaseItem,
  get: Get,
  result: AwaitResult,
  list: List,
  stats: Empty,
  workers: Empty,
  children: Get,
  cancel: Cancel,
  purge: Purge,
  log: Log,
  logs: Logs,
  replay: Replay,
  reprioritize: Reprioritize,
  update: Update,
  pause: Empty,
  resume: Empty,
  configure: Configure,
  describe: Empty,
} as const satisfies Record<string, TSchema>;

export type QueueOperation = 'enqueue' | keyof typeof queueRequests;

export const isQueueOperation = (word: string): word is QueueOperation =>
  word === 'enqueue' || Object.hasOwn(queueRequests, word);

/** Which item schema a batch form holds. */
export const batchItems = {
  'enqueue-many': EnqueueItem,
  complete: CompleteItem,
  fail: FailItem,
  extend: ExtendItem,
  release: ReleaseItem,
} as const satisfies Record<string, TSchema>;

// Replies. They are schemas too, for OpenAPI, AsyncAPI and the clients' types.

export const Enqueued = Type.Object({
  id: ItemId,
  queue: Name,
  state: QueueStatus,
  priority: QueuePriority,
  duplicate: Type.Boolean(),
  /** The item that the key stands for was changed. */
  replaced: Type.Optional(Type.Boolean()),
});
export type Enqueued = Static<typeof Enqueued>;

export const LeasedItem = Type.Object({
  id: ItemId,
  queue: Name,
  priority: QueuePriority,
  state: Type.Literal('processing'),
  attempt: Type.Integer(),
  maxAttempts: Type.Integer(),
  token: Token,
  leaseExpiresAt: Type.String(),
  enqueuedAt: Type.String(),
  timeoutMs: Type.Optional(Type.Integer()),
  payload: Type.Optional(Type.Unknown()),
  payloadBase64: Type.Optional(Type.String()),
  contentType: Type.Optional(Type.String()),
  headers: Type.Optional(UserHeaders),
});
export type LeasedItem = Static<typeof LeasedItem>;

export const AttemptView = Type.Object({
  attempt: Type.Integer(),
  startedAt: Type.String(),
  endedAt: Type.Optional(Type.String()),
  error: Type.Optional(Failure),
  worker: Type.Optional(Type.String()),
});

export const TransitionView = Type.Object({
  at: Type.String(),
  from: Type.Union([QueueStatus, Type.Null()]),
  to: QueueStatus,
  why: Type.String(),
});

export const QueueItem = Type.Object({
  id: ItemId,
  queue: Name,
  state: QueueStatus,
  priority: QueuePriority,
  group: Type.Optional(Type.String()),
  key: Type.Optional(Type.String()),
  owner: Type.Optional(Type.String()),
  attempt: Type.Integer(),
  maxAttempts: Type.Integer(),
  attempts: Type.Array(AttemptView),
  enqueuedAt: Type.String(),
  runAt: Type.Optional(Type.String()),
  startedAt: Type.Optional(Type.String()),
  finishedAt: Type.Optional(Type.String()),
  progress: Type.Optional(Type.Unknown()),
  result: Type.Optional(Type.Unknown()),
  payload: Type.Optional(Type.Unknown()),
  payloadBase64: Type.Optional(Type.String()),
  contentType: Type.Optional(Type.String()),
  headers: Type.Optional(UserHeaders),
  parent: Type.Optional(Type.Object({ queue: Name, id: ItemId })),
  children: Type.Optional(
    Type.Array(Type.Object({ queue: Name, id: Type.Optional(ItemId), state: Type.String() })),
  ),
  transitions: Type.Array(TransitionView),
});
export type QueueItem = Static<typeof QueueItem>;

const Rates = Type.Object({
  enqueued: Type.Number(),
  started: Type.Number(),
  done: Type.Number(),
  failed: Type.Number(),
});
const Percentiles = Type.Object({ p50: Type.Number(), p95: Type.Number(), p99: Type.Number() });

export const QueueStats = Type.Object({
  queue: ListedQueue,
  paused: Type.Boolean(),
  counts: Type.Record(QueueStatus, Type.Integer()),
  byPriority: Type.Record(QueuePriority, Type.Integer()),
  bytes: Type.Integer(),
  oldestPendingMs: Type.Number(),
  leases: Type.Integer(),
  rates: Type.Object({ '1m': Rates, '5m': Rates, '15m': Rates }),
  waitMs: Percentiles,
  runMs: Percentiles,
  lateMs: Percentiles,
  failuresByType: Type.Record(Type.String(), Type.Integer()),
  attempts: Type.Integer(),
  expiredLeases: Type.Integer(),
  /** Items that ended, by how, since the queue exists. */
  finished: Type.Object({ done: Type.Integer(), failed: Type.Integer(), cancelled: Type.Integer() }),
  slotsSkipped: Type.Integer(),
  logBytes: Type.Integer(),
});
export type QueueStats = Static<typeof QueueStats>;

/** What can be added up of queues: for who watches thousands of them. */
export const QueueTotals = Type.Pick(QueueStats, [
  'counts',
  'bytes',
  'oldestPendingMs',
  'attempts',
  'expiredLeases',
  'finished',
]);
export type QueueTotals = Static<typeof QueueTotals>;

/** Answer of `trivet.queue.stats` with `brief`. */
export const BriefQueueStats = Type.Object({
  queues: Type.Array(Type.Object({ queue: ListedQueue, ...QueueTotals.properties })),
  /** All queues that are not in the list, and how many they are: sums, and the longest wait. */
  others: Type.Object({ queues: Type.Integer(), ...QueueTotals.properties }),
  /** How long the log of each partition is, and may become: `bytesMax` 0 is no limit. */
  logs: Type.Optional(
    Type.Array(Type.Object({ partition: Type.Integer(), bytes: Type.Integer(), bytesMax: Type.Integer() })),
  ),
});
export type BriefQueueStats = Static<typeof BriefQueueStats>;
