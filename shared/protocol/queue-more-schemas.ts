import { type Static, Type } from 'typebox';
import { Duration, ItemId, Key, Name, Strict, Time, Token, Word } from './fields.ts';
import * as limits from './limits.ts';
import { Backoff, QueuePriority, itemOptions } from './queue-item-options.ts';

/** Waits until an item is final. */
export const AwaitResult = Strict({ id: ItemId, wait: Type.Optional(Duration) });
export type AwaitResult = Static<typeof AwaitResult>;

/** Edits an item that waits. */
export const Update = Strict({
  id: ItemId,
  payload: Type.Optional(Type.Unknown()),
  priority: Type.Optional(QueuePriority),
  delay: Type.Optional(Duration),
  runAt: Type.Optional(Time),
  maxAttempts: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.attemptsMax })),
  backoff: Type.Optional(Backoff),
  timeout: Type.Optional(Duration),
  expires: Type.Optional(Duration),
});
export type Update = Static<typeof Update>;

export const Log = Strict({
  id: ItemId,
  token: Token,
  lines: Type.Array(Type.String({ maxLength: limits.logLineLengthMax }), {
    minItems: 1,
    maxItems: limits.logLinesPerRequestMax,
  }),
});
export type Log = Static<typeof Log>;

export const Logs = Strict({
  id: ItemId,
  after: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.logLinesPageMax })),
});
export type Logs = Static<typeof Logs>;

export const LogLine = Type.Object({
  number: Type.Integer(),
  at: Type.String(),
  attempt: Type.Integer(),
  line: Type.String(),
});
export type LogLine = Static<typeof LogLine>;

/** States whose items `purge` removes: an item in work is its worker's. */
export const purgeableStates = [
  'scheduled',
  'blocked',
  'pending',
  'retry',
  'done',
  'failed',
  'cancelled',
] as const;

export const Purge = Strict({
  id: Type.Optional(ItemId),
  state: Type.Optional(Word(purgeableStates)),
  all: Type.Optional(Type.Literal(true)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.purgedItemsMax })),
});
export type Purge = Static<typeof Purge>;

export const waitingStates = ['scheduled', 'blocked', 'pending', 'retry'] as const;

export const Cancel = Strict({
  id: Type.Optional(ItemId),
  children: Type.Optional(Type.Boolean()),
  state: Type.Optional(Word(waitingStates)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.cancelledItemsMax })),
});
export type Cancel = Static<typeof Cancel>;

export const WorkerView = Type.Object({
  worker: Type.String(),
  since: Type.String(),
  lastSeenAt: Type.String(),
  waiting: Type.Integer(),
  items: Type.Array(
    Type.Object({
      id: ItemId,
      attempt: Type.Integer(),
      startedAt: Type.String(),
      leaseExpiresAt: Type.String(),
    }),
  ),
});
export type WorkerView = Static<typeof WorkerView>;

export const childFailures = ['fail', 'continue', 'wait'] as const;
export type OnChildFailure = (typeof childFailures)[number];

const { key: _key, onDuplicate: _onDuplicate, ...childOptions } = itemOptions;
const family = {
  payload: Type.Unknown(),
  onChildFailure: Type.Optional(Word(childFailures)),
};

/** A child of a flow, as deep as its own `children` are; those are checked one by one. */
export const FlowChild = Strict({
  queue: Name,
  ...family,
  ...childOptions,
  children: Type.Optional(Type.Array(Type.Unknown(), { maxItems: limits.flowItemsMax })),
});
export type FlowChild = Static<typeof FlowChild>;

export const EnqueueFlow = Strict({
  ...family,
  ...childOptions,
  key: Type.Optional(Key),
  children: Type.Array(Type.Unknown(), { minItems: 1, maxItems: limits.flowItemsMax }),
});
export type EnqueueFlow = Static<typeof EnqueueFlow>;

export const ChildView = Type.Object({
  queue: Name,
  id: Type.Optional(ItemId),
  state: Type.String(),
  result: Type.Optional(Type.Unknown()),
  resultOmitted: Type.Optional(Type.Boolean()),
  error: Type.Optional(Type.Unknown()),
});
export type ChildView = Static<typeof ChildView>;
