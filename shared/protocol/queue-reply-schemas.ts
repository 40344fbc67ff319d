import { type TSchema, Type } from 'typebox';
import { ItemId, Name } from './fields.ts';
import { ChildView, LogLine, WorkerView } from './queue-more-schemas.ts';
import {
  Enqueued,
  LeasedItem,
  ListedQueue,
  QueueItem,
  type QueueOperation,
  QueuePriority,
  QueueStats,
  QueueStatus,
} from './queue-schemas.ts';
import { QueueDescription } from './queue-settings-schemas.ts';

// What a queue answers, operation by operation: for OpenAPI. Nothing is validated with it but in tests.

/** What went wrong with one item of a batch. */
export const ItemError = Type.Object(
  { code: Type.String(), message: Type.String() },
  { additionalProperties: true },
);

const Changed = Type.Object({ id: ItemId, state: QueueStatus });
const Paused = Type.Object({ queue: Name, paused: Type.Boolean() });
const Count = Type.Integer({ minimum: 0 });

/** One item's answer, or the list of a batch form, each of which may be an error; and what `fetch` brought. */
const single = (properties: Record<string, TSchema>) => {
  const one = Type.Partial(Type.Object(properties));
  return Type.Object({
    ...one.properties,
    items: Type.Optional(Type.Array(Type.Object({ ...one.properties, error: Type.Optional(ItemError) }))),
    next: Type.Optional(Type.Array(LeasedItem)),
  });
};

const changed = { id: ItemId, state: QueueStatus };

/** A page of `list`: the items as `get` shows them, without what is heavy. */
export const QueueItemPage = Type.Object({
  items: Type.Array(Type.Partial(QueueItem)),
  cursor: Type.Optional(Type.String()),
});

export const QueueNames = Type.Object({
  queues: Type.Array(ListedQueue),
  /** Leads to the next page; there is none when it is absent. */
  cursor: Type.Optional(Type.String()),
});

export const queueReplies = {
  enqueue: Enqueued,
  'enqueue-many': Type.Object({
    items: Type.Array(
      Type.Object({
        ...Type.Partial(Type.Omit(Enqueued, ['queue', 'priority'])).properties,
        error: Type.Optional(ItemError),
      }),
    ),
  }),
  'enqueue-flow': Type.Object({
    id: ItemId,
    queue: Name,
    state: QueueStatus,
    duplicate: Type.Boolean(),
    children: Type.Optional(Count),
  }),
  dequeue: Type.Object({ items: Type.Array(LeasedItem) }),
  complete: single(changed),
  fail: single({ ...changed, attempt: Type.Integer(), nextAttemptAt: Type.String() }),
  extend: single({ id: ItemId, leaseExpiresAt: Type.String(), cancelled: Type.Boolean() }),
  release: single(changed),
  get: QueueItem,
  result: QueueItem,
  list: QueueItemPage,
  stats: QueueStats,
  workers: Type.Object({ workers: Type.Array(WorkerView), more: Type.Optional(Type.Boolean()) }),
  children: Type.Object({ items: Type.Array(ChildView) }),
  cancel: Type.Partial(Type.Object({ ...changed, count: Count })),
  purge: Type.Object({ count: Count, more: Type.Boolean() }),
  log: Type.Object({ id: ItemId, count: Count }),
  logs: Type.Object({ lines: Type.Array(LogLine), count: Count }),
  replay: Type.Partial(Type.Object({ ...changed, count: Count, cursor: Type.String() })),
  reprioritize: Type.Object({ id: ItemId, priority: QueuePriority }),
  update: Changed,
  pause: Paused,
  resume: Paused,
  configure: QueueDescription,
  describe: QueueDescription,
} as const satisfies Record<QueueOperation, TSchema>;
