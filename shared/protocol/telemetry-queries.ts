import { type Static, type TSchema, Type } from 'typebox';
import { Duration, Strict, Tags, Time, Word } from './fields.ts';
import * as limits from './limits.ts';
import { InstrumentName, TelemetryLevel } from './telemetry-records.ts';

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
