import { durationMs } from '#shared/protocol/durations.ts';
import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import type { AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import {
  type Destination,
  type RuleKind,
  TelemetryPipelines,
  otlpSignals,
} from '#shared/protocol/telemetry-pipelines.ts';
import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import { validator } from '#shared/protocol/validation.ts';
import { checkedRules } from './alerts.ts';
import { type NameTest, nameTest } from './globs.ts';
import { isAtLeast } from './levels.ts';
import type { Signal } from './otlp-chunks.ts';
import { Rules } from './rules.ts';

/** Where the requests of one signal go. */
export interface OtlpTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly gzip: boolean;
  readonly timeoutMs: number;
}

/** How a destination is reached. */
export type Connection =
  | {
      readonly type: 'otlp-http';
      readonly encoding: 'protobuf' | 'json';
      readonly targets: Readonly<Partial<Record<Signal, OtlpTarget>>>;
    }
  /** The target's URL is an endpoint here: gRPC has its own paths. */
  | { readonly type: 'otlp-grpc'; readonly target: OtlpTarget }
  | {
      readonly type: 'nats';
      readonly subject: string;
      readonly acknowledgedBy: 'stream' | 'server';
      readonly timeoutMs: number;
    }
  | {
      readonly type: 'file';
      readonly path: string;
      readonly rotateBytes: number;
      readonly filesMax: number;
    };

export interface RecordTest {
  readonly source: string;
  readonly kind: RuleKind;
  readonly level: TelemetryLevel | undefined;
}

/** A destination, checked and complete. */
export interface DestinationPlan {
  readonly name: string;
  readonly required: boolean;
  readonly signals: readonly Signal[];
  /** Undefined where it gets everything. */
  readonly wants: ((record: RecordTest) => boolean) | undefined;
  readonly temporality: 'delta' | 'cumulative';
  readonly connection: Connection;
}

export interface Pipelines {
  /** Undefined where the file names none: then the environment says where OTLP goes. */
  readonly destinations: readonly DestinationPlan[] | undefined;
  readonly rules: Rules;
  readonly alerts: readonly AlertRule[];
}

export interface PlanContext {
  readonly levelMin: TelemetryLevel;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Subjects on which the collector itself gets OTLP: what it published there would come back. */
  readonly ownSubjects: string;
  /** Origins that alerts may call. */
  readonly webhookOrigins: readonly string[];
}

export const timeoutMsDefault = 10_000;
const rotateBytesDefault = 128 * 1_048_576;
const filesMaxDefault = 5;

const validPipelines = validator(TelemetryPipelines);

/** The pipelines that a configuration describes, or what is wrong with it, by the field. */
export function pipelinesOf(given: unknown, context: PlanContext): Result<Pipelines> {
  const checked = validPipelines(given);
  if (!checked.ok) return checked;
  const config = checked.value;
  const bad = badPattern(config);
  if (bad !== undefined) return bad;
  const plans: DestinationPlan[] = [];
  for (const [index, one] of (config.destinations ?? []).entries()) {
    const plan = planOf(one, `destinations[${index}]`, context);
    if (!plan.ok) return plan;
    if (plans.some((other) => other.name === one.name))
      return refuseField(`destinations[${index}].name`, `must be another: there are two ${one.name}`);
    plans.push(plan.value);
  }
  const alerts = checkedRules(config.alerts ?? [], context.webhookOrigins);
  if (!alerts.ok) return alerts;
  return accept({
    alerts: alerts.value,
    destinations: config.destinations === undefined ? undefined : plans,
    rules: new Rules(config, context.levelMin),
  });
}

function badPattern(config: TelemetryPipelines) {
  for (const [index, { pattern }] of (config.redact?.patterns ?? []).entries()) {
    try {
      if (new RegExp(pattern, 'u').test(''))
        return refuseField(`redact.patterns[${index}].pattern`, 'must not match the empty text');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return refuseField(`redact.patterns[${index}].pattern`, `must be a regular expression: ${reason}`);
    }
  }
  return undefined;
}

// The fields of each type, beside those that all have.
const common = ['name', 'type', 'required', 'signals', 'filter', 'temporality'];
const fields: Readonly<
  Record<Destination['type'], { readonly needed: keyof Destination; readonly allowed: readonly string[] }>
> = {
  'otlp-http': { needed: 'endpoint', allowed: ['endpoint', 'encoding', 'compression', 'headers', 'timeout'] },
  'otlp-grpc': { needed: 'endpoint', allowed: ['endpoint', 'compression', 'headers', 'timeout'] },
  nats: { needed: 'subject', allowed: ['subject', 'acknowledgedBy', 'timeout'] },
  file: { needed: 'path', allowed: ['path', 'rotateBytes', 'filesMax'] },
};

function planOf(given: Destination, at: string, context: PlanContext): Result<DestinationPlan> {
  const { needed, allowed } = fields[given.type];
  if (given[needed] === undefined)
    return refuseField(`${at}.${needed}`, `is missing: ${given.type} needs it`);
  const foreign = Object.keys(given).find((name) => !common.includes(name) && !allowed.includes(name));
  if (foreign !== undefined) return refuseField(`${at}.${foreign}`, `is no field of ${given.type}`);
  if (given.temporality !== undefined && given.signals?.includes('metrics') === false)
    return refuseField(`${at}.temporality`, 'is of no use: signals leaves out metrics');
  const connection = connectionOf(given, at, context);
  if (!connection.ok) return connection;
  return accept({
    name: given.name,
    required: given.required ?? true,
    signals: given.signals ?? otlpSignals,
    wants: wantsOf(given),
    temporality: given.temporality ?? 'cumulative',
    connection: connection.value,
  });
}

function connectionOf(given: Destination, at: string, context: PlanContext): Result<Connection> {
  const timeoutMs = given.timeout === undefined ? timeoutMsDefault : durationMs(given.timeout);
  if (timeoutMs === undefined || timeoutMs < 1 || timeoutMs > 600_000)
    return refuseField(`${at}.timeout`, 'must be between 1 ms and 10 minutes');
  const headers = headersOf(given, at, context.env);
  if (!headers.ok) return headers;
  const gzip = given.compression === 'gzip';
  switch (given.type) {
    case 'otlp-http':
    case 'otlp-grpc': {
      const endpoint = endpointOf(given.endpoint ?? '', at);
      if (!endpoint.ok) return endpoint;
      const target = { url: endpoint.value, gzip, headers: headers.value, timeoutMs };
      if (given.type === 'otlp-grpc') return accept({ type: given.type, target });
      const encoding = given.encoding ?? 'protobuf';
      return accept({ type: given.type, encoding, targets: targetsBelow(target) });
    }
    case 'nats': {
      const subject = given.subject ?? '';
      if (subject === context.ownSubjects || subject.startsWith(`${context.ownSubjects}.`))
        return refuseField(
          `${at}.subject`,
          `must not be ${context.ownSubjects}: it would come back for ever`,
        );
      return accept({ type: 'nats', subject, acknowledgedBy: given.acknowledgedBy ?? 'stream', timeoutMs });
    }
    case 'file': {
      const { path = '', rotateBytes = rotateBytesDefault, filesMax = filesMaxDefault } = given;
      return accept({ type: 'file', path, rotateBytes, filesMax });
    }
  }
}

function endpointOf(endpoint: string, at: string): Result<string> {
  const isUrl = URL.canParse(endpoint) && /^https?:\/\//i.test(endpoint);
  return isUrl
    ? accept(endpoint.replace(/\/+$/, ''))
    : refuseField(`${at}.endpoint`, 'must be a URL that begins with http:// or https://');
}

/** OTLP/HTTP's paths below an endpoint. */
const targetsBelow = (base: OtlpTarget): Readonly<Record<Signal, OtlpTarget>> => ({
  metrics: { ...base, url: `${base.url}/v1/metrics` },
  logs: { ...base, url: `${base.url}/v1/logs` },
  traces: { ...base, url: `${base.url}/v1/traces` },
});

function headersOf(
  { headers = {} }: Destination,
  at: string,
  env: PlanContext['env'],
): Result<Readonly<Record<string, string>>> {
  const made: Record<string, string> = {};
  for (const [name, text] of Object.entries(headers)) {
    const missing = [...text.matchAll(/\$\{([A-Za-z0-9_]+)\}/g)].find(
      ([, variable = '']) => env[variable] === undefined,
    );
    if (missing !== undefined)
      return refuseField(`${at}.headers.${name}`, `names ${missing[1]}, which is not in the environment`);
    const value = text.replaceAll(/\$\{([A-Za-z0-9_]+)\}/g, (_all, variable: string) => env[variable] ?? '');
    if (/[^\t\x20-\x7e]/.test(value)) return refuseField(`${at}.headers.${name}`, 'must be printable ASCII');
    made[name.toLowerCase()] = value;
  }
  return accept(made);
}

function wantsOf({ filter }: Destination): DestinationPlan['wants'] {
  if (filter === undefined) return undefined;
  const { kinds, level } = filter;
  const fitsSource: NameTest = nameTest(filter.sources);
  return (record) =>
    (kinds === undefined || kinds.includes(record.kind)) &&
    (level === undefined || record.level === undefined || isAtLeast(record.level, level)) &&
    fitsSource(record.source);
}
