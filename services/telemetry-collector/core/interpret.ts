import { fnv1a32 } from '#shared/protocol/partition.ts';
import type {
  TelemetryError,
  TelemetryEvent,
  TelemetryLevel,
  TelemetryLog,
  TelemetryMetric,
  TelemetryPerformance,
  TelemetryType,
} from '#shared/protocol/telemetry-records.ts';
import { timeMs } from '#shared/protocol/times.ts';
import { type Attributes, attributesOf } from './attribute-values.ts';
import { isAtLeast } from './levels.ts';
import { type Rules, type Verdict, isSampled } from './rules.ts';
import { type Labels, type MetricUpdate, labelsOf } from './series.ts';

/** The span that a message came from, by its `traceparent`. */
export interface Origin {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
}

/** What every record of one message shares. */
export interface MessageContext {
  /** Sequence in the stream: with the record's place in the message it names the record. */
  readonly sequence: number;
  /** When JetStream took it, epoch milliseconds: the time of a record that names none. */
  readonly receivedMs: number;
  readonly origin: Origin | undefined;
  readonly rules: Rules;
}

/** An event, an error or a log line on its way out. */
export interface LogEntry {
  readonly kind: 'event' | 'error' | 'log';
  readonly source: string;
  readonly level: TelemetryLevel;
  readonly body: string;
  readonly attributes: Attributes;
  readonly atMs: number;
  readonly receivedMs: number;
  readonly origin: Origin | undefined;
}

/** A performance record that belongs to a trace. */
export interface SpanEntry {
  readonly source: string;
  readonly operation: string;
  readonly startMs: number;
  readonly durationMs: number;
  readonly success: boolean;
  readonly labels: Labels;
  readonly spanId: string;
  readonly parent: Origin;
}

/** What one record becomes. */
export type Interpretation =
  | {
      readonly kind: 'kept';
      readonly updates: readonly MetricUpdate[];
      readonly entry?: LogEntry | SpanEntry;
    }
  /** Left out, by its level or by sampling. */
  | { readonly kind: 'filtered'; readonly by: 'level' | 'sample' }
  | { readonly kind: 'rejected'; readonly reason: 'invalid_record'; readonly message: string };

/** A record beside its kind, as it passed its schema. */
export type KindedRecord =
  | { readonly kind: 'metric'; readonly record: TelemetryMetric }
  | { readonly kind: 'event'; readonly record: TelemetryEvent }
  | { readonly kind: 'performance'; readonly record: TelemetryPerformance }
  | { readonly kind: 'error'; readonly record: TelemetryError }
  | { readonly kind: 'log'; readonly record: TelemetryLog };

/** The source of a record that names none. */
export const unknownSource = 'unknown';

/** The series that performance records make. */
export const operationDuration = 'trivet.operation.duration';
export const operationCount = 'trivet.operation.count';

/** Levels of records that name none. */
const defaultLevels = { event: 'info', error: 'error', log: 'info' } as const satisfies Partial<
  Record<TelemetryType, TelemetryLevel>
>;

/** Decides what becomes of one record. `index` is its place in the message. */
export function interpret(one: KindedRecord, index: number, context: MessageContext): Interpretation {
  const { timestamp } = one.record;
  const atMs = timestamp === undefined ? context.receivedMs : timeMs(timestamp);
  if (atMs === undefined) return rejected('timestamp is no time that exists');
  const verdict = context.rules.verdict(one.record.source ?? unknownSource, one.kind);
  if (one.kind === 'metric') return metric(one.record, atMs, context.rules, verdict);
  if (one.kind === 'performance') return performance(one.record, { atMs, index, context, verdict });
  const level = one.record.level ?? defaultLevels[one.kind];
  if (!isAtLeast(level, verdict.level)) return { kind: 'filtered', by: 'level' };
  if (verdict.sample < 1 && one.kind !== 'error' && !isAtLeast(level, 'error')) {
    const { origin, sequence } = context;
    if (!isSampled(verdict.sample, origin?.traceId, sequence, index))
      return { kind: 'filtered', by: 'sample' };
  }
  return { kind: 'kept', updates: [], entry: logEntry(one, { atMs, level, context, verdict }) };
}

interface Judged {
  readonly atMs: number;
  readonly context: MessageContext;
  readonly verdict: Verdict;
}

const rejected = (message: string): Interpretation => ({
  kind: 'rejected',
  reason: 'invalid_record',
  message,
});

function metric(record: TelemetryMetric, atMs: number, rules: Rules, verdict: Verdict): Interpretation {
  const type = record.type ?? 'gauge';
  if (type === 'counter' && record.value < 0)
    return rejected('value must not be negative: a counter only grows');
  const update: MetricUpdate = {
    source: record.source ?? unknownSource,
    name: record.name,
    type,
    unit: record.unit ?? '',
    labels: labelsOf(rules.tags(record.tags, verdict)),
    overflowLabels: [],
    value: record.value,
    atMs,
  };
  return { kind: 'kept', updates: [update] };
}

function performance(
  record: TelemetryPerformance,
  { atMs, index, context, verdict }: Judged & { readonly index: number },
): Interpretation {
  const tags = context.rules.tags(record.tags, verdict);
  const source = record.source ?? unknownSource;
  const own = { operation: record.operation, success: record.success };
  const common = {
    source,
    labels: labelsOf({ ...tags, ...own }),
    overflowLabels: labelsOf(own),
    atMs,
  };
  const updates: readonly MetricUpdate[] = [
    { ...common, name: operationDuration, type: 'histogram', unit: 'ms', value: record.durationMs },
    { ...common, name: operationCount, type: 'counter', unit: '', value: 1 },
  ];
  const { origin, sequence } = context;
  if (origin === undefined) return { kind: 'kept', updates };
  // Sampling leaves out spans alone: what is counted is counted from all records.
  if (record.success && !isSampled(verdict.sample, origin.traceId, sequence, index))
    return { kind: 'kept', updates };
  const entry: SpanEntry = {
    source,
    operation: record.operation,
    startMs: atMs - record.durationMs,
    durationMs: record.durationMs,
    success: record.success,
    labels: labelsOf(tags),
    spanId: spanIdOf(sequence, index),
    parent: origin,
  };
  return { kind: 'kept', updates, entry };
}

function logEntry(
  one: Extract<KindedRecord, { kind: LogEntry['kind'] }>,
  { atMs, level, context, verdict }: Judged & { readonly level: TelemetryLevel },
): LogEntry {
  const { rules } = context;
  const body = (one.kind === 'event' ? one.record.name : one.record.message).toWellFormed();
  let attributes = attributesOf(one.record.attributes);
  if (verdict.extra !== undefined) attributes = { ...verdict.extra, ...attributes };
  if (one.kind === 'error') attributes = { ...attributes, ...exceptionOf(one.record) };
  return {
    kind: one.kind,
    source: one.record.source ?? unknownSource,
    level,
    body: rules.redacts ? rules.text(body) : body,
    attributes: rules.attributes(attributes),
    atMs,
    receivedMs: context.receivedMs,
    origin: context.origin,
  };
}

/** OpenTelemetry's semantic conventions for exceptions in logs. */
const exceptionOf = (record: TelemetryError): Attributes => ({
  'exception.message': record.message.toWellFormed(),
  ...(record.type === undefined ? {} : { 'exception.type': record.type.toWellFormed() }),
  ...(record.stack === undefined ? {} : { 'exception.stacktrace': record.stack.toWellFormed() }),
});

/** The same record has the same span id however often it is sent: a backend that saw it twice can tell. */
function spanIdOf(sequence: number, index: number): string {
  const hex = (salt: string) => fnv1a32(`${salt}:${sequence}:${index}`).toString(16).padStart(8, '0');
  const id = `${hex('a')}${hex('b')}`;
  return id === '0000000000000000' ? '0000000000000001' : id;
}
