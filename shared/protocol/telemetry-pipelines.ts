import { AlertRule, alertRulesMax } from './telemetry-alerts.ts';
import { type Static, Type } from 'typebox';
import { Duration, Name, Strict, Word } from './fields.ts';
import { instrumentNameLengthMax, tagLengthMax } from './limits.ts';
import { TelemetryLevel, telemetryKinds } from './telemetry-records.ts';

// The file that says where telemetry goes and what becomes of it on the way (TRIVET_TELEMETRY_PIPELINES).

export const destinationTypes = ['otlp-http', 'otlp-grpc', 'nats', 'file'] as const;
export const temporalities = ['delta', 'cumulative'] as const;
export const otlpSignals = ['metrics', 'logs', 'traces'] as const;

/** What rules and filters can name: the five kinds of records, and the items of OTLP requests. */
export const ruleKinds = [...telemetryKinds, 'otlp'] as const;
export type RuleKind = (typeof ruleKinds)[number];

/** `*` stands for any characters. */
const Glob = Type.String({ minLength: 1, maxLength: instrumentNameLengthMax });
const Globs = Type.Array(Glob, { minItems: 1, maxItems: 100 });
const Kinds = Type.Array(Word(ruleKinds), { minItems: 1, maxItems: ruleKinds.length });

/** What a destination gets: what fits all that is given. */
export const DestinationFilter = Strict({
  sources: Type.Optional(Globs),
  kinds: Type.Optional(Kinds),
  /** The least severe; says nothing about metrics and spans. */
  level: Type.Optional(TelemetryLevel),
});
export type DestinationFilter = Static<typeof DestinationFilter>;

/** Where telemetry goes. Which fields belong to which type, `planOf` checks. */
export const Destination = Strict({
  name: Name,
  type: Word(destinationTypes),
  /** False: what it cannot take is dropped and counted, and nothing waits for it. */
  required: Type.Optional(Type.Boolean()),
  signals: Type.Optional(Type.Array(Word(otlpSignals), { minItems: 1, maxItems: 3 })),
  filter: Type.Optional(DestinationFilter),
  /** Whether metrics carry what has changed since the last point, or all since their beginning (the default). */
  temporality: Type.Optional(Word(temporalities)),
  endpoint: Type.Optional(Type.String({ minLength: 1, maxLength: 2_048 })),
  encoding: Type.Optional(Word(['protobuf', 'json'] as const)),
  compression: Type.Optional(Word(['gzip', 'none'] as const)),
  /** Values may name environment variables, `${NAME}`, so that no secret has to stand in the file. */
  headers: Type.Optional(
    Type.Record(Type.String({ pattern: '^[A-Za-z0-9-]{1,100}$' }), Type.String({ maxLength: 8_192 })),
  ),
  timeout: Type.Optional(Duration),
  subject: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}(\\.[A-Za-z0-9_-]{1,64}){0,7}$' })),
  /** Whether a stream must have it (`stream`) or the server alone (`server`). */
  acknowledgedBy: Type.Optional(Word(['stream', 'server'] as const)),
  path: Type.Optional(Type.String({ minLength: 1, maxLength: 4_096 })),
  rotateBytes: Type.Optional(Type.Integer({ minimum: 1_048_576, maximum: 1_000_000_000_000 })),
  filesMax: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
});
export type Destination = Static<typeof Destination>;

/** For what fits sources and kinds; of several rules the first one that says something counts. */
export const TelemetryRule = Strict({
  sources: Type.Optional(Globs),
  kinds: Type.Optional(Kinds),
  level: Type.Optional(TelemetryLevel),
  /** Share that is kept, from 0 to 1; errors are always kept. Says nothing about metrics. */
  sample: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
});
export type TelemetryRule = Static<typeof TelemetryRule>;

const Redaction = Strict({
  /** Names of attributes and tags whose values are replaced. */
  attributes: Type.Optional(Globs),
  /** Regular expressions whose matches in texts are replaced. */
  patterns: Type.Optional(
    Type.Array(
      Strict({
        pattern: Type.String({ minLength: 1, maxLength: 1_024 }),
        with: Type.Optional(Type.String({ maxLength: tagLengthMax })),
      }),
      { minItems: 1, maxItems: 50 },
    ),
  ),
});

const Enrichment = Strict({
  sources: Type.Optional(Globs),
  kinds: Type.Optional(Kinds),
  attributes: Type.Record(
    Type.String({ minLength: 1, maxLength: tagLengthMax }),
    Type.Union([Type.String({ maxLength: 4 * tagLengthMax }), Type.Number(), Type.Boolean()]),
    { minProperties: 1, maxProperties: 32 },
  ),
});

export const TelemetryPipelines = Strict({
  destinations: Type.Optional(Type.Array(Destination, { maxItems: 16 })),
  rules: Type.Optional(Type.Array(TelemetryRule, { maxItems: 200 })),
  redact: Type.Optional(Redaction),
  enrich: Type.Optional(Type.Array(Enrichment, { maxItems: 50 })),
  alerts: Type.Optional(Type.Array(AlertRule, { maxItems: alertRulesMax })),
});
export type TelemetryPipelines = Static<typeof TelemetryPipelines>;
