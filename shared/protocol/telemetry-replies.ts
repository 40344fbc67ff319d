import { type Static, type TSchema, Type } from 'typebox';
import { Word } from './fields.ts';
import type { TelemetryQueryName } from './telemetry-queries.ts';
import { MetricType, TelemetryLevel } from './telemetry-records.ts';

const Count = Type.Integer({ minimum: 0 });

/** Collectors that are registered and did not answer: what they have counted is missing in the reply. */
const silent = Type.Optional(Type.Array(Type.String()));

/** received = exported + filtered + sampled + deadLettered + inFlight. */
const KindFigures = Type.Object({
  received: Count,
  exported: Count,
  /** Left out by a level, and by sampling. */
  filtered: Count,
  sampled: Count,
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
    sampled: Count,
    deadLettered: Count,
    pending: Count,
    balanced: Type.Boolean(),
  }),
  /** The same for each destination since it was first there; `filtered` is also what is not meant for it. */
  accounts: Type.Array(
    Type.Object({
      destination: Type.String(),
      received: Count,
      exported: Count,
      /** Refused by it for good. */
      rejected: Count,
      filtered: Count,
      sampled: Count,
      deadLettered: Count,
      /** What a best-effort destination, or one that was taken out, never got. */
      dropped: Count,
      pending: Count,
      balanced: Type.Boolean(),
    }),
  ),
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
