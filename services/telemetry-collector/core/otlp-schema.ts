import type { Signal } from './otlp-chunks.ts';

// The messages of OTLP 1.x as a table: opentelemetry-proto, `common`, `resource`, `logs`, `metrics`, `trace` and
// `collector/*`. One line a message, `number name type`; `*` is repeated, `*packed` repeated numbers.

/** How a value is on the wire and in JSON; anything else is the name of a message. */
export type Scalar =
  | 'string'
  | 'bytes'
  /** Bytes that JSON writes in hexadecimal digits, against protobuf's own rule: trace and span ids. */
  | 'hex'
  | 'bool'
  | 'enum'
  | 'uint32'
  | 'int32'
  | 'sint32'
  | 'int64'
  | 'uint64'
  | 'fixed32'
  | 'fixed64'
  | 'sfixed64'
  | 'double';

export interface FieldSchema {
  readonly number: number;
  /** As JSON has it. */
  readonly name: string;
  readonly scalar: Scalar | undefined;
  /** The message that it is, where it is none of the scalars. */
  readonly message: string;
  readonly repeated: boolean;
}

export interface MessageSchema {
  readonly byNumber: readonly (FieldSchema | undefined)[];
  readonly byName: ReadonlyMap<string, FieldSchema>;
}

const point = '2 startTimeUnixNano fixed64; 3 timeUnixNano fixed64';
const definitions: Readonly<Record<string, string>> = {
  LogsRequest: '1 resourceLogs ResourceLogs*',
  ResourceLogs: '1 resource Resource; 2 scopeLogs ScopeLogs*; 3 schemaUrl string',
  ScopeLogs: '1 scope Scope; 2 logRecords LogRecord*; 3 schemaUrl string',
  LogRecord:
    '1 timeUnixNano fixed64; 2 severityNumber enum; 3 severityText string; 5 body AnyValue; 6 attributes KeyValue*; ' +
    '7 droppedAttributesCount uint32; 8 flags fixed32; 9 traceId hex; 10 spanId hex; 11 observedTimeUnixNano fixed64; ' +
    '12 eventName string',
  TracesRequest: '1 resourceSpans ResourceSpans*',
  ResourceSpans: '1 resource Resource; 2 scopeSpans ScopeSpans*; 3 schemaUrl string',
  ScopeSpans: '1 scope Scope; 2 spans Span*; 3 schemaUrl string',
  Span:
    '1 traceId hex; 2 spanId hex; 3 traceState string; 4 parentSpanId hex; 5 name string; 6 kind enum; ' +
    '7 startTimeUnixNano fixed64; 8 endTimeUnixNano fixed64; 9 attributes KeyValue*; 10 droppedAttributesCount uint32; ' +
    '11 events SpanEvent*; 12 droppedEventsCount uint32; 13 links SpanLink*; 14 droppedLinksCount uint32; ' +
    '15 status Status; 16 flags fixed32',
  SpanEvent: '1 timeUnixNano fixed64; 2 name string; 3 attributes KeyValue*; 4 droppedAttributesCount uint32',
  SpanLink:
    '1 traceId hex; 2 spanId hex; 3 traceState string; 4 attributes KeyValue*; 5 droppedAttributesCount uint32; ' +
    '6 flags fixed32',
  Status: '2 message string; 3 code enum',
  MetricsRequest: '1 resourceMetrics ResourceMetrics*',
  ResourceMetrics: '1 resource Resource; 2 scopeMetrics ScopeMetrics*; 3 schemaUrl string',
  ScopeMetrics: '1 scope Scope; 2 metrics Metric*; 3 schemaUrl string',
  Metric:
    '1 name string; 2 description string; 3 unit string; 5 gauge Gauge; 7 sum Sum; 9 histogram Histogram; ' +
    '10 exponentialHistogram ExponentialHistogram; 11 summary Summary; 12 metadata KeyValue*',
  Gauge: '1 dataPoints NumberDataPoint*',
  Sum: '1 dataPoints NumberDataPoint*; 2 aggregationTemporality enum; 3 isMonotonic bool',
  Histogram: '1 dataPoints HistogramDataPoint*; 2 aggregationTemporality enum',
  ExponentialHistogram: '1 dataPoints ExponentialHistogramDataPoint*; 2 aggregationTemporality enum',
  Summary: '1 dataPoints SummaryDataPoint*',
  NumberDataPoint: `7 attributes KeyValue*; ${point}; 4 asDouble double; 6 asInt sfixed64; 5 exemplars Exemplar*; 8 flags uint32`,
  HistogramDataPoint:
    `9 attributes KeyValue*; ${point}; 4 count fixed64; 5 sum double; 6 bucketCounts fixed64*; ` +
    '7 explicitBounds double*; 8 exemplars Exemplar*; 10 flags uint32; 11 min double; 12 max double',
  ExponentialHistogramDataPoint:
    `1 attributes KeyValue*; ${point}; 4 count fixed64; 5 sum double; 6 scale sint32; 7 zeroCount fixed64; ` +
    '8 positive Buckets; 9 negative Buckets; 10 flags uint32; 11 exemplars Exemplar*; 12 min double; 13 max double; ' +
    '14 zeroThreshold double',
  Buckets: '1 offset sint32; 2 bucketCounts uint64*',
  SummaryDataPoint: `7 attributes KeyValue*; ${point}; 4 count fixed64; 5 sum double; 6 quantileValues Quantile*; 8 flags uint32`,
  Quantile: '1 quantile double; 2 value double',
  Exemplar:
    '7 filteredAttributes KeyValue*; 2 timeUnixNano fixed64; 3 asDouble double; 6 asInt sfixed64; 4 spanId hex; 5 traceId hex',
  Resource: '1 attributes KeyValue*; 2 droppedAttributesCount uint32; 3 entityRefs EntityRef*',
  EntityRef: '1 schemaUrl string; 2 type string; 3 idKeys string*; 4 descriptionKeys string*',
  Scope: '1 name string; 2 version string; 3 attributes KeyValue*; 4 droppedAttributesCount uint32',
  KeyValue: '1 key string; 2 value AnyValue',
  AnyValue:
    '1 stringValue string; 2 boolValue bool; 3 intValue int64; 4 doubleValue double; 5 arrayValue ArrayValue; ' +
    '6 kvlistValue KeyValueList; 7 bytesValue bytes',
  ArrayValue: '1 values AnyValue*',
  KeyValueList: '1 values KeyValue*',
};

const scalars: ReadonlySet<string> = new Set<Scalar>([
  'string',
  'bytes',
  'hex',
  'bool',
  'enum',
  'uint32',
  'int32',
  'sint32',
  'int64',
  'uint64',
  'fixed32',
  'fixed64',
  'sfixed64',
  'double',
]);

const isScalar = (word: string): word is Scalar => scalars.has(word);

function fieldOf(line: string): FieldSchema {
  const [number = '', name = '', type = ''] = line.trim().split(' ');
  const word = type.replace('*', '');
  const scalar = isScalar(word) ? word : undefined;
  return { number: Number(number), name, scalar, message: word, repeated: type.endsWith('*') };
}

function messageOf(definition: string): MessageSchema {
  const fields = definition.split(';').map(fieldOf);
  const byNumber: (FieldSchema | undefined)[] = [];
  for (const field of fields) byNumber[field.number] = field;
  return { byNumber, byName: new Map(fields.map((field) => [field.name, field])) };
}

const messages: ReadonlyMap<string, MessageSchema> = new Map(
  Object.entries(definitions).map(([name, definition]) => [name, messageOf(definition)]),
);

/** The schema of a message of the table; asking for another is a mistake in this program. */
export function schemaOf(name: string): MessageSchema {
  const found = messages.get(name);
  if (found === undefined) throw new Error(`OTLP has no message ${name}`);
  return found;
}

/** The message that a request of a signal is. */
export const requestMessage = {
  logs: 'LogsRequest',
  traces: 'TracesRequest',
  metrics: 'MetricsRequest',
} as const satisfies Record<Signal, string>;

/** The message that an item of a signal is. */
export const itemMessage = { logs: 'LogRecord', traces: 'Span', metrics: 'Metric' } as const satisfies Record<
  Signal,
  string
>;

/** Deeper messages are refused: whoever nests values like this wants to exhaust a stack. */
export const messageDepthMax = 100;
