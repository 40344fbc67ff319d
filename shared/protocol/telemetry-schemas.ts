import { type Static, type TSchema, Type } from 'typebox';
import { Duration, Strict, Tags, Time, Word } from './fields.ts';
import * as limits from './limits.ts';

export const telemetryKinds = ['metric', 'event', 'performance', 'error', 'log'] as const;
export const TelemetryType = Word(telemetryKinds);
export type TelemetryType = Static<typeof TelemetryType>;

/** From the least to the most severe. */
export const telemetryLevels = ['debug', 'info', 'warning', 'error', 'critical'] as const;
export const TelemetryLevel = Word(telemetryLevels);
export type TelemetryLevel = Static<typeof TelemetryLevel>;

const InstrumentName = Type.String({ minLength: 1, maxLength: limits.instrumentNameLengthMax });
const Attributes = Type.Record(
  Type.String({ minLength: 1, maxLength: limits.tagLengthMax }),
  Type.Unknown(),
  {
    maxProperties: limits.tagsMax,
    'x-expected': 'an object of at most 64 attributes',
  },
);
const common = {
  timestamp: Type.Optional(Time),
  source: Type.Optional(Type.String({ minLength: 1, maxLength: limits.tagLengthMax })),
};
const Message = Type.String({ minLength: 1, maxLength: limits.stackLengthMax });

const MetricType = Word(['counter', 'gauge', 'histogram', 'exponential_histogram'] as const);

export const TelemetryMetric = Strict({
  name: InstrumentName,
  value: Type.Number(),
  type: Type.Optional(MetricType),
  unit: Type.Optional(Type.String({ maxLength: 63 })),
  tags: Type.Optional(Tags),
  ...common,
});
export type TelemetryMetric = Static<typeof TelemetryMetric>;

export const TelemetryEvent = Strict({
  name: InstrumentName,
  level: Type.Optional(TelemetryLevel),
  attributes: Type.Optional(Attributes),
  ...common,
});
export type TelemetryEvent = Static<typeof TelemetryEvent>;

export const TelemetryPerformance = Strict({
  operation: InstrumentName,
  durationMs: Type.Number({ minimum: 0 }),
  success: Type.Boolean(),
  tags: Type.Optional(Tags),
  ...common,
});
export type TelemetryPerformance = Static<typeof TelemetryPerformance>;

export const TelemetryError = Strict({
  message: Message,
  type: Type.Optional(Type.String({ maxLength: limits.tagLengthMax })),
  stack: Type.Optional(Type.String({ maxLength: limits.stackLengthMax })),
  level: Type.Optional(TelemetryLevel),
  attributes: Type.Optional(Attributes),
  ...common,
});
export type TelemetryError = Static<typeof TelemetryError>;

export const TelemetryLog = Strict({
  message: Message,
  level: Type.Optional(TelemetryLevel),
  attributes: Type.Optional(Attributes),
  ...common,
});
export type TelemetryLog = Static<typeof TelemetryLog>;

/** The schema of one object published on `trivet.telemetry.<kind>`. */
export const telemetryRecords = {
  metric: TelemetryMetric,
  event: TelemetryEvent,
  performance: TelemetryPerformance,
  error: TelemetryError,
  log: TelemetryLog,
} as const satisfies Record<TelemetryType, TSchema>;

export const isTelemetryKind = (word: string): word is TelemetryType => Object.hasOwn(telemetryRecords, word);

/** One record of `POST /telemetry/record`: the object of its kind, with the kind beside it. */
export const TelemetryRequest = Type.Object(
  { type: TelemetryType },
  { additionalProperties: true, description: 'One record; the fields beside `type` are those of its kind.' },
);
export type TelemetryRequest = Static<typeof TelemetryRequest>;

/** Answer of `POST /telemetry/record`. */
export const TelemetryResponse = Type.Object({
  accepted: Type.Integer(),
  rejected: Type.Array(
    Type.Object({
      index: Type.Integer(),
      error: Type.Object({ code: Type.String(), message: Type.String() }),
    }),
  ),
});
export type TelemetryResponse = Static<typeof TelemetryResponse>;

/** Newest records that one query may return. */
const recentLimit = Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 }));
const sourceFilter = Type.Optional(Type.String({ minLength: 1, maxLength: limits.tagLengthMax }));
const recentFilter = { source: sourceFilter, since: Type.Optional(Time), limit: recentLimit };

export const SeriesQuery = Strict({
  name: Type.Optional(InstrumentName),
  source: sourceFilter,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
});
export type SeriesQuery = Static<typeof SeriesQuery>;

/** `level` is the least severe that is wanted. */
export const EventsQuery = Strict({
  name: Type.Optional(InstrumentName),
  level: Type.Optional(TelemetryLevel),
  ...recentFilter,
});
export type EventsQuery = Static<typeof EventsQuery>;

export const ErrorsQuery = Strict({
  type: Type.Optional(Type.String({ maxLength: limits.tagLengthMax })),
  level: Type.Optional(TelemetryLevel),
  ...recentFilter,
});
export type ErrorsQuery = Static<typeof ErrorsQuery>;

export const LogsQuery = Strict({ level: Type.Optional(TelemetryLevel), ...recentFilter });
export type LogsQuery = Static<typeof LogsQuery>;

/** Points of one metric's series over time; the finest steps that reach back to `from`, or no finer than `step`. */
export const HistoryQuery = Strict({
  name: InstrumentName,
  source: sourceFilter,
  tags: Type.Optional(Tags),
  from: Type.Optional(Time),
  to: Type.Optional(Time),
  step: Type.Optional(Duration),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
});
export type HistoryQuery = Static<typeof HistoryQuery>;

/**
 * Records as they are kept, to the inbox of this request: at most `max` of them, for at most `lease`. Whoever reads on
 * asks again from the same inbox; whoever does not is dropped.
 */
export const TailQuery = Strict({
  kinds: Type.Optional(Type.Array(Word(['event', 'error', 'log'] as const), { minItems: 1, maxItems: 3 })),
  source: sourceFilter,
  level: Type.Optional(TelemetryLevel),
  max: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
  lease: Type.Optional(Duration),
});
export type TailQuery = Static<typeof TailQuery>;

export const OperationsQuery = Strict({ operation: Type.Optional(InstrumentName), source: sourceFilter });
export type OperationsQuery = Static<typeof OperationsQuery>;

/** The queries of `trivet.telemetry-query.<query>` and the schema of each one's request. An empty body is `{}`. */
export const telemetryQueries = {
  stats: Strict({}),
  series: SeriesQuery,
  events: EventsQuery,
  errors: ErrorsQuery,
  logs: LogsQuery,
  operations: OperationsQuery,
  history: HistoryQuery,
  tail: TailQuery,
  alerts: Strict({}),
  prometheus: Strict({}),
} as const satisfies Record<string, TSchema>;

export type TelemetryQueryName = keyof typeof telemetryQueries;

export const isTelemetryQuery = (word: string): word is TelemetryQueryName =>
  Object.hasOwn(telemetryQueries, word);

const Count = Type.Integer({ minimum: 0 });

/** Collectors that are registered and did not answer: what they have counted is missing in the reply. */
const silent = Type.Optional(Type.Array(Type.String()));

/** received = exported + filtered + deadLettered + inFlight. */
const KindFigures = Type.Object({
  received: Count,
  exported: Count,
  filtered: Count,
  deadLettered: Count,
  inFlight: Count,
});

/**
 * Figures since the collectors' data folders were made, added up over all collectors that answered; `otlp` counts the
 * items of OTLP requests, `other` messages of no known kind.
 */
export const CollectorStats = Type.Object({
  /** Who answered. */
  collector: Type.String(),
  collectors: Type.Array(Type.String()),
  silent,
  startedAt: Type.String(),
  kinds: Type.Object({
    metric: KindFigures,
    event: KindFigures,
    performance: KindFigures,
    error: KindFigures,
    log: KindFigures,
    otlp: KindFigures,
    other: KindFigures,
  }),
  /** Dead-lettered records by reason. */
  reasons: Type.Record(Type.String(), Count),
  /**
   * Where records are, each figure counted on its own and none by subtraction: `pending` message by message, from those
   * that are counted and not delivered. `balanced` says whether they come to `received`.
   */
  account: Type.Object({
    received: Count,
    exported: Count,
    filtered: Count,
    deadLettered: Count,
    pending: Count,
    balanced: Type.Boolean(),
  }),
  /** The last of what was dropped, by reason: an example to look for. */
  examples: Type.Record(
    Type.String(),
    Type.Object({
      at: Type.String(),
      subject: Type.String(),
      sequence: Type.Optional(Count),
      index: Type.Optional(Count),
      message: Type.String(),
      record: Type.String(),
    }),
  ),
  /** Sources that have used up their series: what asked for more, the worst first. */
  overflow: Type.Array(
    Type.Object({
      source: Type.String(),
      series: Count,
      /** Values that found no series of their own since the collector started. */
      values: Count,
      names: Type.Array(
        Type.Object({
          name: Type.String(),
          values: Count,
          /** The tag with the most different values, and how many of them have a series. */
          tag: Type.Optional(Type.String()),
          tagValues: Type.Optional(Count),
        }),
      ),
    }),
  ),
  /** Of the stream: messages nobody has yet, messages that some collector holds. */
  backlog: Type.Object({
    waiting: Count,
    unacknowledged: Count,
    redelivered: Count,
    /** How long ago the oldest message came that is not acknowledged; 0 where there is none. */
    ageMs: Count,
  }),
  /** Messages and bytes that this collector holds. */
  held: Type.Object({ messages: Count, bytes: Count }),
  series: Count,
  /** How long the event loop was held up, since the start. */
  eventLoopDelayMs: Type.Object({ p50: Type.Number(), p99: Type.Number(), max: Type.Number() }),
  destinations: Type.Array(
    Type.Object({
      name: Type.String(),
      state: Word(['up', 'down'] as const),
      waiting: Count,
      accepted: Count,
      refused: Count,
      dropped: Count,
      retries: Count,
      lastError: Type.Optional(Type.String()),
    }),
  ),
});
export type CollectorStats = Static<typeof CollectorStats>;

export const SeriesReply = Type.Object({
  series: Type.Array(
    Type.Object({
      name: Type.String(),
      type: MetricType,
      source: Type.String(),
      /** Who counts it: a series is counted by one collector alone. */
      collector: Type.String(),
      unit: Type.Optional(Type.String()),
      tags: Type.Record(Type.String(), Type.String()),
      /** A counter's total or a gauge's value. */
      value: Type.Optional(Type.Number()),
      count: Type.Optional(Count),
      sum: Type.Optional(Type.Number()),
      min: Type.Optional(Type.Number()),
      max: Type.Optional(Type.Number()),
      p50: Type.Optional(Type.Number()),
      p95: Type.Optional(Type.Number()),
      p99: Type.Optional(Type.Number()),
    }),
  ),
  /** Series that fit the query; more than are listed when `limit` cut them. */
  count: Count,
  silent,
});
export type SeriesReply = Static<typeof SeriesReply>;

const recent = {
  at: Type.String(),
  source: Type.String(),
  level: TelemetryLevel,
  attributes: Type.Record(Type.String(), Type.Unknown()),
  traceId: Type.Optional(Type.String()),
};

export const EventsReply = Type.Object({
  events: Type.Array(Type.Object({ name: Type.String(), ...recent })),
  silent,
});
export type EventsReply = Static<typeof EventsReply>;

export const ErrorsReply = Type.Object({
  errors: Type.Array(
    Type.Object({
      message: Type.String(),
      type: Type.Optional(Type.String()),
      stack: Type.Optional(Type.String()),
      ...recent,
    }),
  ),
  /** Errors of one cause: one type, one stack but for lines and ids. The latest first. */
  groups: Type.Array(
    Type.Object({
      id: Type.String(),
      type: Type.String(),
      message: Type.String(),
      stack: Type.Optional(Type.String()),
      level: TelemetryLevel,
      count: Count,
      firstSeen: Type.String(),
      lastSeen: Type.String(),
      sources: Type.Array(Type.String()),
      traceId: Type.Optional(Type.String()),
    }),
  ),
  silent,
});
export type ErrorsReply = Static<typeof ErrorsReply>;

export const LogsReply = Type.Object({
  logs: Type.Array(Type.Object({ message: Type.String(), ...recent })),
  silent,
});
export type LogsReply = Static<typeof LogsReply>;

export const OperationsReply = Type.Object({
  operations: Type.Array(
    Type.Object({
      operation: Type.String(),
      count: Count,
      /** Successes / count. */
      successRate: Type.Number({ minimum: 0, maximum: 1 }),
      durationMs: Type.Object({
        min: Type.Number(),
        mean: Type.Number(),
        p50: Type.Number(),
        p95: Type.Number(),
        p99: Type.Number(),
        max: Type.Number(),
      }),
    }),
  ),
  silent,
});
export type OperationsReply = Static<typeof OperationsReply>;

export const HistoryReply = Type.Object({
  stepMs: Count,
  series: Type.Array(
    Type.Object({
      name: Type.String(),
      type: MetricType,
      source: Type.String(),
      collector: Type.String(),
      tags: Type.Record(Type.String(), Type.String()),
      /** At the end of each step: a counter's total, a gauge's value, a histogram's count and sum. */
      points: Type.Array(
        Type.Object({ at: Type.String(), value: Type.Number(), sum: Type.Optional(Type.Number()) }),
      ),
    }),
  ),
  silent,
});
export type HistoryReply = Static<typeof HistoryReply>;

/** What a tail says first, on every request. */
export const TailReply = Type.Object({
  max: Count,
  leaseMs: Count,
  collectors: Type.Array(Type.String()),
  silent,
});
export type TailReply = Static<typeof TailReply>;

export const AlertsReply = Type.Object({
  alerts: Type.Array(
    Type.Object({
      name: Type.String(),
      state: Word(['ok', 'pending', 'firing'] as const),
      /** Since when it is in that state. */
      since: Type.Optional(Type.String()),
      /** What it was judged by the last time; absent where there was nothing to judge. */
      value: Type.Optional(Type.Number()),
    }),
  ),
});
export type AlertsReply = Static<typeof AlertsReply>;

/** The text of a scrape, for whoever serves it over HTTP. */
export const PrometheusReply = Type.Object({ contentType: Type.String(), text: Type.String() });
export type PrometheusReply = Static<typeof PrometheusReply>;

export const telemetryReplies = {
  stats: CollectorStats,
  series: SeriesReply,
  events: EventsReply,
  errors: ErrorsReply,
  logs: LogsReply,
  operations: OperationsReply,
  history: HistoryReply,
  tail: TailReply,
  alerts: AlertsReply,
  prometheus: PrometheusReply,
} as const satisfies Record<TelemetryQueryName, TSchema>;
