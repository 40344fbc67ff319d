import { type Static, type TSchema, Type } from 'typebox';
import { CacheStats } from './cache-schemas.ts';
import { errorTable } from './errors.ts';
import { Duration, ItemId, Key, Name, Strict, Time, Token, Word } from './fields.ts';
import * as limits from './limits.ts';
import {
  Backoff,
  Enqueued,
  Failure,
  LeasedItem,
  QueuePriority,
  QueueStats,
  QueueStatus,
  UserHeaders,
} from './queue-schemas.ts';
import {
  TelemetryRequest,
  type TelemetryType,
  telemetryKinds,
  telemetryRecords,
} from './telemetry-records.ts';
import { CollectorStats } from './telemetry-replies.ts';

// What the HTTP gateway says beside the schemas that NATS has, too. Its nine first endpoints write names in
// snake_case, as their paths do; what comes back is the protocol's own reply, untouched.

/** Where a queue's table lives. */
export const QueueType = Word(['lmdb', 'redis', 'memory'] as const);
export type QueueType = Static<typeof QueueType>;

/** Body of `POST /queue/enqueue`. `max_retries` is `maxAttempts` less the first attempt. */
export const QueueRequest = Strict(
  {
    queue_name: Name,
    payload: Type.Unknown(),
    priority: Type.Optional(QueuePriority),
    delay: Type.Optional(Duration),
    run_at: Type.Optional(Time),
    max_retries: Type.Optional(Type.Integer({ minimum: 0, maximum: limits.attemptsMax - 1 })),
    backoff: Type.Optional(Backoff),
    timeout: Type.Optional(Duration),
    expires: Type.Optional(Duration),
    group: Type.Optional(Key),
    idempotency_key: Type.Optional(Key),
    headers: Type.Optional(UserHeaders),
  },
  // What the page of the document begins with: made up from the patterns it would be refused.
  { examples: [{ queue_name: 'mails', payload: { to: 'ada@example.org' }, priority: 'high' }] },
);
export type QueueRequest = Static<typeof QueueRequest>;

/** Answer of `POST /queue/enqueue`. */
export const QueueResponse = Enqueued;
export type QueueResponse = Static<typeof QueueResponse>;

export const QueuePath = Strict({ queue_name: Name });
export type QueuePath = Static<typeof QueuePath>;

export const ItemPath = Strict({ queue_name: Name, item_id: ItemId });
export type ItemPath = Static<typeof ItemPath>;

/** Body of `POST /queue/{queue_name}/{item_id}/complete`; the id is in the path. */
export const CompleteBody = Strict({ token: Token, result: Type.Optional(Type.Unknown()) });
export type CompleteBody = Static<typeof CompleteBody>;

/** Body of `POST /queue/{queue_name}/{item_id}/fail`; the id is in the path. */
export const FailBody = Strict({
  token: Token,
  error: Failure,
  retry: Type.Optional(Type.Boolean()),
  delay: Type.Optional(Duration),
});
export type FailBody = Static<typeof FailBody>;

export const Dequeued = Type.Object({ items: Type.Array(LeasedItem) });
export type Dequeued = Static<typeof Dequeued>;

export const Completed = Type.Object({ id: ItemId, state: QueueStatus });
export type Completed = Static<typeof Completed>;

export const Failed = Type.Object({
  id: ItemId,
  state: QueueStatus,
  attempt: Type.Optional(Type.Integer()),
  nextAttemptAt: Type.Optional(Type.String()),
});
export type Failed = Static<typeof Failed>;

/** Figures of every queue. */
export const QueueStatsList = Type.Object({
  queues: Type.Array(QueueStats),
  /** Leads to the next page; there is none when it is absent. */
  cursor: Type.Optional(Type.String()),
});

/** Figures of the whole cache, and of every namespace. */
export const CacheStatsList = Type.Object({
  entries: Type.Integer(),
  bytes: Type.Integer(),
  hits: Type.Integer(),
  misses: Type.Integer(),
  hitRate: Type.Number(),
  namespaces: Type.Array(CacheStats),
});

/** Live figures of the collector that answered. */
export const TelemetryStats = CollectorStats;

/** Body of `POST /telemetry/record`: one record, or many. A bad one among many does not drop its neighbours. */
export const TelemetryBody = Type.Union(
  [
    TelemetryRequest,
    Type.Array(Type.Unknown(), { minItems: 1, maxItems: limits.telemetryRecordsMax, title: 'records' }),
  ],
  {
    'x-expected': `that of a record (${telemetryKinds.join(', ')}), or an array of 1 to ${limits.telemetryRecordsMax} records`,
    examples: [{ type: 'metric', name: 'orders', value: 1, metric_type: 'counter' }],
  },
);
export type TelemetryBody = Static<typeof TelemetryBody>;

/**
 * One record of `POST /telemetry/record`, by kind: the object that is published, with its kind as `type`. A metric's
 * and an error's own `type` would collide with it and are called `metric_type` and `error_type` here.
 */
export const telemetryHttpRecords = {
  metric: httpRecord('metric', telemetryRecords.metric.properties),
  event: httpRecord('event', telemetryRecords.event.properties),
  performance: httpRecord('performance', telemetryRecords.performance.properties),
  error: httpRecord('error', telemetryRecords.error.properties),
  log: httpRecord('log', telemetryRecords.log.properties),
} as const satisfies Record<TelemetryType, TSchema>;

function httpRecord(kind: TelemetryType, properties: Readonly<Record<string, TSchema>>) {
  const { type: ownType, ...others } = properties;
  return Strict({
    type: Type.Literal(kind),
    ...others,
    ...(ownType === undefined ? {} : { [`${kind}_type`]: ownType }),
  });
}

const statuses = Object.values(errorTable).map((entry) => entry.status);

/** An error over HTTP: RFC 9457, with the stable code beside the text. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer({ minimum: Math.min(...statuses), maximum: 599 }),
    detail: Type.String(),
    code: Word(Object.keys(errorTable)),
    instance: Type.Optional(Type.String()),
    requestId: Type.Optional(Type.String()),
    field: Type.Optional(Type.String()),
    missing: Type.Optional(Type.String()),
  },
  { additionalProperties: true },
);
export type Problem = Static<typeof Problem>;

export const Health = Type.Object({ status: Word(['live', 'ready'] as const) });
export type Health = Static<typeof Health>;
