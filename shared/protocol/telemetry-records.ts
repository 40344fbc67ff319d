import { type Static, type TSchema, Type } from 'typebox';
import { Strict, Tags, Time, Word } from './fields.ts';
import * as limits from './limits.ts';
import { telemetryKinds } from './telemetry-words.ts';

export { telemetryKinds };
export const TelemetryType = Word(telemetryKinds);
export type TelemetryType = Static<typeof TelemetryType>;

/** From the least to the most severe. */
export const telemetryLevels = ['debug', 'info', 'warning', 'error', 'critical'] as const;
export const TelemetryLevel = Word(telemetryLevels);
export type TelemetryLevel = Static<typeof TelemetryLevel>;

/** Of metrics, events and operations. */
export const InstrumentName = Type.String({ minLength: 1, maxLength: limits.instrumentNameLengthMax });
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

export const MetricType = Word(['counter', 'gauge', 'histogram', 'exponential_histogram'] as const);

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
