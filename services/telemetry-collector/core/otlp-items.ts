import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import { isAtLeast } from './levels.ts';
import { unknownSource } from './interpret.ts';
import { type Chunk, type Signal, chosen, itemOf } from './otlp-chunks.ts';
import { type JsonMessage, type JsonValue, bytesOf, jsonOf } from './otlp-json.ts';
import { itemMessage } from './otlp-schema.ts';
import { type Rules, type Verdict, isSampled, redacted } from './rules.ts';

// What rules and filters see and change in OTLP that came as such. An item is decoded only where there are any.

const sources = new WeakMap<Uint8Array, string>();

/** The `service.name` of a chunk's resource. */
export function sourceOf({ resource }: Chunk): string {
  const known = sources.get(resource);
  if (known !== undefined) return known;
  // Without its scopes a ResourceLogs, ResourceSpans or ResourceMetrics is the same message.
  const { resource: decoded } = jsonOf('ResourceLogs', resource);
  const found = listOf(asMessage(decoded)['attributes']).find((one) => one['key'] === 'service.name');
  const name = asMessage(found?.['value'])['stringValue'];
  const source = typeof name === 'string' && name !== '' ? name : unknownSource;
  sources.set(resource, source);
  return source;
}

/** The level of a log record by its severity number; undefined for what has none. */
export function levelOf(signal: Signal, chunk: Chunk, index: number): TelemetryLevel | undefined {
  if (signal !== 'logs') return undefined;
  return levelOfNumber(jsonOf(itemMessage.logs, itemOf(chunk, index))['severityNumber']);
}

function levelOfNumber(severity: JsonValue | undefined): TelemetryLevel | undefined {
  if (typeof severity !== 'number' || severity < 1) return undefined;
  if (severity < 9) return 'debug';
  if (severity < 13) return 'info';
  if (severity < 17) return 'warning';
  return severity < 21 ? 'error' : 'critical';
}

export interface RuledItems {
  readonly chunks: readonly Chunk[];
  /** Items that their level leaves out, and others that sampling does. */
  readonly filtered: number;
  readonly sampled: number;
}

/** What the rules leave of a request. @param sequence of its message in the stream */
export function ruledItems(
  signal: Signal,
  chunks: readonly Chunk[],
  rules: Rules,
  sequence: number,
): RuledItems {
  const left = { level: 0, sample: 0 };
  const kept = chosen(chunks, (place, chunk, index) => {
    const by = leftOutBy(signal, { chunk, index, place }, rules.verdict(sourceOf(chunk), 'otlp'), sequence);
    if (by !== undefined) left[by] += 1;
    return by === undefined;
  });
  return {
    chunks: kept.map((chunk) => changed(signal, chunk, rules)),
    filtered: left.level,
    sampled: left.sample,
  };
}

function leftOutBy(
  signal: Signal,
  at: { readonly chunk: Chunk; readonly index: number; readonly place: number },
  verdict: Verdict,
  sequence: number,
): 'level' | 'sample' | undefined {
  if (signal === 'metrics') return undefined;
  const item = jsonOf(itemMessage[signal], itemOf(at.chunk, at.index));
  const level = signal === 'logs' ? levelOfNumber(item['severityNumber']) : undefined;
  if (level !== undefined && !isAtLeast(level, verdict.level)) return 'level';
  const isError = level === undefined ? asMessage(item['status'])['code'] === 2 : isAtLeast(level, 'error');
  if (isError) return undefined;
  const traceId = item['traceId'];
  const trace = typeof traceId === 'string' && traceId.length === 32 ? traceId : undefined;
  return isSampled(verdict.sample, trace, sequence, at.place) ? undefined : 'sample';
}

// Of ScopeLogs, ScopeSpans and ScopeMetrics.
const itemField = 2;

/** A chunk with its items redacted and enriched; fields that this version of OTLP does not have are lost then. */
function changed(signal: Signal, chunk: Chunk, rules: Rules): Chunk {
  const { extra } = rules.verdict(sourceOf(chunk), 'otlp');
  if (!rules.redacts && (extra === undefined || signal === 'metrics')) return chunk;
  const bodies = chunk.places.map((_, index) => {
    const item = redactedMessage(jsonOf(itemMessage[signal], itemOf(chunk, index)), rules);
    const enriched = extra === undefined || signal === 'metrics' ? item : withAttributes(item, extra);
    return bytesOf(itemMessage[signal], enriched, itemField);
  });
  // Without what they hold these are the same messages for every signal.
  const framed = (message: 'ResourceLogs' | 'ScopeLogs', bytes: Uint8Array): Uint8Array =>
    rules.redacts ? bytesOf(message, redactedMessage(jsonOf(message, bytes), rules)) : bytes;
  let end = 0;
  return {
    ...chunk,
    resource: framed('ResourceLogs', chunk.resource),
    scope: framed('ScopeLogs', chunk.scope),
    items: Buffer.concat(bodies),
    ends: bodies.map((body) => (end += body.length)),
  };
}

/** Every attribute and text of a message, however deep it stands. */
function redactedMessage(message: JsonMessage, rules: Rules): JsonMessage {
  if (!rules.redacts) return message;
  const made: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(message)) made[name] = redactedField(name, value, rules);
  return made;
}

// Not attributes: ids, names of things, and what is written by machines for machines.
const untouched: ReadonlySet<string> = new Set([
  'traceId',
  'spanId',
  'parentSpanId',
  'traceState',
  'bytesValue',
  'unit',
]);

function redactedField(name: string, value: JsonValue, rules: Rules): JsonValue {
  if (typeof value === 'string') return isText(name) ? rules.text(value) : value;
  if (typeof value !== 'object') return value;
  if (isList(value)) return value.map((one) => redactedField(name, one, rules));
  const { key } = value;
  if (typeof key !== 'string') return redactedMessage(value, rules);
  return rules.isSecret(key) ? { key, value: { stringValue: redacted } } : redactedMessage(value, rules);
}

const isText = (name: string): boolean =>
  !untouched.has(name) &&
  (name === 'stringValue' || name === 'message' || name === 'name' || name === 'description');

function withAttributes(item: JsonMessage, extra: NonNullable<Verdict['extra']>): JsonMessage {
  const own = listOf(item['attributes']);
  const has = new Set(own.map((one) => one['key']));
  const added = Object.entries(extra)
    .filter(([name]) => !has.has(name))
    .map(([key, value]) => ({ key, value: anyValue(value) }));
  return added.length === 0 ? item : { ...item, attributes: [...own, ...added] };
}

function anyValue(value: string | number | boolean): JsonMessage {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

const isList = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

const asMessage = (value: JsonValue | undefined): JsonMessage =>
  typeof value === 'object' && !isList(value) ? value : {};

const listOf = (value: JsonValue | undefined): readonly JsonMessage[] =>
  value !== undefined && typeof value === 'object' && isList(value) ? value.map(asMessage) : [];
