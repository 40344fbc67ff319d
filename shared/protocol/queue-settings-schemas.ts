import { type Static, type TSchema, Type } from 'typebox';
import { Duration, KeyText, Strict, Word } from './fields.ts';
import * as limits from './limits.ts';
import { Backoff, itemOptions } from './queue-item-options.ts';

export const orderings = ['strict', 'weighted'] as const;
export type QueueOrdering = (typeof orderings)[number];

export const missedSlots = ['once', 'skip', 'all'] as const;
export type MissedSlots = (typeof missedSlots)[number];

/** A field that `null` takes back to its default. */
const resettable = <S extends TSchema>(schema: S) => Type.Optional(Type.Union([schema, Type.Null()]));

const Leases = Type.Integer({ minimum: 1, maximum: limits.concurrencyMax });

export const Rate = Strict({
  count: Type.Integer({ minimum: 1, maximum: limits.rateCountMax }),
  per: Duration,
});
export type Rate = Static<typeof Rate>;

const Keep = Strict({
  age: resettable(Duration),
  count: resettable(Type.Integer({ minimum: 0, maximum: limits.queueItemsMax })),
  bytes: resettable(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});

const {
  delay: _delay,
  runAt: _runAt,
  key: _key,
  onDuplicate: _onDuplicate,
  ...scheduledOptions
} = itemOptions;

export const Schedule = Strict({
  cron: Type.String({ minLength: 1, maxLength: limits.cronLengthMax }),
  timeZone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  missed: Type.Optional(Word(missedSlots)),
  payload: Type.Optional(Type.Unknown()),
  ...scheduledOptions,
});
export type Schedule = Static<typeof Schedule>;

/** Dotted names of members of a JSON payload. */
export const SearchPath = Type.String({
  pattern: '^[^.\\s]{1,64}(\\.[^.\\s]{1,64}){0,7}$',
  'x-expected': 'a path of one to eight names such as "user.email"',
});

/** What `configure` takes: fields that are left out stay as they are, `null` goes back to the default. */
export const Configure = Strict({
  maxAttempts: resettable(Type.Integer({ minimum: 1, maximum: limits.attemptsMax })),
  backoff: resettable(Backoff),
  timeout: resettable(Duration),
  lease: resettable(Duration),
  dedupWindow: resettable(Duration),
  ordering: resettable(Word(orderings)),
  agingAfter: resettable(Duration),
  maxSize: resettable(Type.Integer({ minimum: 1, maximum: limits.queueItemsMax })),
  maxBytes: resettable(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
  concurrency: resettable(Strict({ total: resettable(Leases), perGroup: resettable(Leases) })),
  rateLimit: resettable(Strict({ total: resettable(Rate), perGroup: resettable(Rate) })),
  retention: resettable(Strict({ done: resettable(Keep), failed: resettable(Keep) })),
  search: resettable(Type.Array(SearchPath, { maxItems: limits.searchPathsMax })),
  /** Only if `describe` would show this `tag` now: settings that somebody else has changed meanwhile stay. */
  ifTag: Type.Optional(Type.String({ minLength: 1, maxLength: limits.settingsTagLengthMax })),
  schedules: resettable(
    Type.Record(KeyText(limits.nameLengthMax), Type.Union([Schedule, Type.Null()]), {
      additionalProperties: false,
      maxProperties: limits.schedulesMax,
      'x-expected': 'an object of at most 100 schedules, with names of 1 to 64 characters',
    }),
  ),
});
export type Configure = Static<typeof Configure>;

const RateView = Type.Object({ count: Type.Integer(), per: Type.Integer() });
const KeepView = Type.Object({
  age: Type.Optional(Type.Integer()),
  count: Type.Optional(Type.Integer()),
  bytes: Type.Optional(Type.Integer()),
});

/** A queue's settings in effect. Durations are milliseconds; what has no default and is not set is absent. */
export const SettingsView = Type.Object({
  maxAttempts: Type.Integer(),
  backoff: Type.String(),
  timeout: Type.Optional(Type.Integer()),
  lease: Type.Integer(),
  dedupWindow: Type.Integer(),
  ordering: Word(orderings),
  agingAfter: Type.Integer(),
  maxSize: Type.Optional(Type.Integer()),
  maxBytes: Type.Optional(Type.Integer()),
  concurrency: Type.Object({ total: Type.Optional(Type.Integer()), perGroup: Type.Optional(Type.Integer()) }),
  rateLimit: Type.Object({ total: Type.Optional(RateView), perGroup: Type.Optional(RateView) }),
  retention: Type.Object({ done: KeepView, failed: KeepView }),
  search: Type.Array(Type.String()),
});
export type SettingsView = Static<typeof SettingsView>;

export const ScheduleView = Type.Object({
  ...Schedule.properties,
  timeZone: Type.String(),
  missed: Word(missedSlots),
  nextAt: Type.Optional(Type.String()),
  lastAt: Type.Optional(Type.String()),
  payloadBase64: Type.Optional(Type.String()),
  slotsSkipped: Type.Optional(Type.Integer()),
});
export type ScheduleView = Static<typeof ScheduleView>;

/** The answer of `configure` and `describe`. */
export const QueueDescription = Type.Object({
  queue: Type.String(),
  paused: Type.Boolean(),
  settings: SettingsView,
  schedules: Type.Record(Type.String(), ScheduleView),
  /** Stands for settings and schedules, but not for the schedules' times: for `ifTag` of `configure`. */
  tag: Type.String(),
});
export type QueueDescription = Static<typeof QueueDescription>;
