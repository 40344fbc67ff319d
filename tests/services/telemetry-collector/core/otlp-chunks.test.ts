import {
  JsonLogsSerializer,
  JsonMetricsSerializer,
  ProtobufLogsSerializer,
  ProtobufMetricsSerializer,
} from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AggregationTemporality, DataPointType, type ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { SeverityNumber, ValueType } from '@opentelemetry/api';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { otlpItemsMax } from '#shared/protocol/limits.ts';
import { checkItems } from '#services/telemetry-collector/core/otlp-check.ts';
import {
  type Chunk,
  chosen,
  chunksOf,
  halvesOf,
  itemsIn,
  placesIn,
  requestOf,
} from '#services/telemetry-collector/core/otlp-chunks.ts';
import { bytesOfRequest, jsonOfRequest } from '#services/telemetry-collector/core/otlp-json.ts';
import { ProtobufFault } from '#services/telemetry-collector/core/protobuf.ts';
import { readOtlp } from '#services/telemetry-collector/core/read-otlp.ts';
import { Rules } from '#services/telemetry-collector/core/rules.ts';
import { readStatsd } from '#services/telemetry-collector/core/statsd.ts';

const anyValue: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.record({ stringValue: fc.string({ unit: 'grapheme' }).map((text) => text.toWellFormed()) }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String) }),
    fc.record({
      doubleValue: fc
        .double({ noNaN: true, noDefaultInfinity: true })
        .map((value) => (value === 0 ? 0 : value)),
    }),
    fc.record({ bytesValue: fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')) }),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('value'), { minLength: 1, maxLength: 3 }) }) }),
  ),
})).value;

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((given) => Buffer.from(given).toString('hex'));

const logRecord = fc.record(
  {
    timeUnixNano: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
    severityNumber: fc.integer({ min: 1, max: 24 }),
    body: anyValue,
    attributes: fc.array(fc.record({ key: fc.string(), value: anyValue }), { minLength: 1, maxLength: 3 }),
    traceId: hex(16),
    flags: fc.nat(),
  },
  { requiredKeys: [] },
);

const logs = fc
  .array(fc.array(logRecord, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 3 })
  .map((scopes) => ({
    resourceLogs: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
        scopeLogs: scopes.map((logRecords) => ({ scope: { name: 's' }, logRecords })),
      },
    ],
  }));

test('JSON becomes protobuf and JSON again without a change', () => {
  fc.assert(
    fc.property(logs, (request) => {
      expect(jsonOfRequest('logs', bytesOfRequest('logs', request))).toEqual(request);
    }),
  );
});

test('numbers of 64 bits keep every digit, whether they are text or not', () => {
  const value = { key: 'id', value: { intValue: '9007199254740993' } };
  const span = { startTimeUnixNano: '1700000000123456789', endTimeUnixNano: '1e3', attributes: [value] };
  const request = (given: object) =>
    JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [given] }] }] });
  const read = (text: string) => {
    const { otlp, dead } = readOtlp(
      { signal: 'traces', contentType: 'application/json', body: Buffer.from(text) },
      { rules: new Rules({}, 'debug'), sequence: 1 },
    );
    return dead[0]?.message ?? jsonOfRequest('traces', requestOf(otlp?.chunks ?? []));
  };
  // As numbers, which protobuf's JSON allows, too.
  const text = request(span).replaceAll(/"(\d[\de]*)"/g, '$1');
  expect(text).toContain('"startTimeUnixNano":1700000000123456789,"endTimeUnixNano":1e3');
  expect(read(text)).toEqual({
    resourceSpans: [{ scopeSpans: [{ spans: [{ ...span, endTimeUnixNano: '1000' }] }] }],
  });
  expect(read(request({ name: 1.5 }).replace('1.5', '12345678901234567890'))).toContain(
    '.name must be a string',
  );
  expect(read('12345678901234567890')).toBe('body must be an object');
});

test('a request of more items than any sender has is refused as a whole', () => {
  const items = (count: number) => ({ resourceLogs: [{ scopeLogs: [{ logRecords: emptyItems(count) }] }] });
  const emptyItems = (count: number) => Array.from({ length: count }, () => ({}));
  // With its resource and its scope.
  expect(itemsIn(chunksOf(bytesOfRequest('logs', items(otlpItemsMax - 2))))).toBe(otlpItemsMax - 2);
  expect(() => chunksOf(bytesOfRequest('logs', items(otlpItemsMax - 1)))).toThrow(/more than 100000 items/);
  const resources = { resourceLogs: emptyItems(otlpItemsMax + 1) };
  expect(() => chunksOf(bytesOfRequest('logs', resources))).toThrow(/more than 100000 items/);
});

test('halves hold everything, in order, and each is a request', () => {
  const size = (chunks: readonly Chunk[]): number => {
    const halves = halvesOf(chunks);
    expect(itemsIn(chunksOf(requestOf(chunks)))).toBe(itemsIn(chunks));
    return halves === undefined ? itemsIn(chunks) : size(halves[0]) + size(halves[1]);
  };
  fc.assert(
    fc.property(logs, (request) => {
      const chunks = chunksOf(bytesOfRequest('logs', request));
      const halves = halvesOf(chunks);
      if (halves !== undefined) expect(halves.flatMap(placesIn)).toEqual(placesIn(chunks));
      expect(size(chunks)).toBe(itemsIn(chunks));
    }),
  );
});

test('what is chosen is just that', () => {
  fc.assert(
    fc.property(logs, fc.nat(7), (request, mask) => {
      const chunks = chunksOf(bytesOfRequest('logs', request));
      const wanted = (place: number) => ((place ^ mask) & 1) === 0;
      expect(placesIn(chosen(chunks, wanted))).toEqual(placesIn(chunks).filter(wanted));
    }),
  );
});

test('our JSON is what the JSON serializer of OpenTelemetry writes', () => {
  const resource = resourceFromAttributes({ 'service.name': 'shop', n: 1, list: ['a', 'b'] });
  const scope = { name: 'scope' };
  const record = {
    hrTime: [1, 2] as [number, number],
    hrTimeObserved: [3, 4] as [number, number],
    severityText: 'info',
    severityNumber: SeverityNumber.INFO,
    body: 'line',
    resource,
    instrumentationScope: scope,
    attributes: { a: 1.5, b: true, c: 'x' },
    droppedAttributesCount: 0,
    spanContext: { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 },
  };
  const theirs = JSON.parse(
    Buffer.from(JsonLogsSerializer.serializeRequest([record]) ?? []).toString(),
  ) as object;
  const ours = jsonOfRequest('logs', ProtobufLogsSerializer.serializeRequest([record]) ?? new Uint8Array());
  expect(normal(ours)).toEqual(normal(theirs));
  const metrics: ResourceMetrics = {
    resource,
    scopeMetrics: [
      {
        scope,
        metrics: [
          {
            descriptor: { name: 'h', description: '', unit: 'ms', valueType: ValueType.DOUBLE },
            aggregationTemporality: AggregationTemporality.CUMULATIVE,
            dataPointType: DataPointType.HISTOGRAM,
            dataPoints: [
              {
                startTime: [1, 0],
                endTime: [2, 0],
                attributes: { a: 'b' },
                value: {
                  buckets: { boundaries: [1, 2], counts: [3, 4, 5] },
                  count: 12,
                  sum: 20.5,
                  min: 0.5,
                  max: 9,
                },
              },
            ],
          },
        ],
      },
    ],
  };
  const theirMetrics = JSON.parse(
    Buffer.from(JsonMetricsSerializer.serializeRequest(metrics) ?? []).toString(),
  ) as object;
  const ourMetrics = jsonOfRequest(
    'metrics',
    ProtobufMetricsSerializer.serializeRequest(metrics) ?? new Uint8Array(),
  );
  expect(normal(ourMetrics)).toEqual(normal(theirMetrics));
});

/** 64-bit numbers as text or number are the same, and so is a default that is written or not. */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value === 'object' && value !== null) {
    const kept = Object.entries(value).map(([name, one]) => [name, normal(one)] as const);
    return Object.fromEntries(
      kept.filter(([, one]) => one !== '0' && one !== '' && !(Array.isArray(one) && one.length === 0)),
    );
  }
  return String(value);
}

test('whatever bytes come as OTLP, they are read without an exception, and what is kept can be read', () => {
  const rules = new Rules({}, 'debug');
  fc.assert(
    fc.property(
      logs,
      fc.nat(),
      fc.nat(255),
      fc.constantFrom('logs', 'traces', 'metrics'),
      (request, at, byte, signal) => {
        const body = Uint8Array.from(bytesOfRequest('logs', request));
        body[at % body.length] = byte;
        const read = readOtlp({ signal, contentType: undefined, body }, { rules, sequence: 1 });
        const kept = read.otlp?.chunks ?? [];
        expect(checkItems(signal, kept).broken).toEqual([]);
      },
    ),
    { numRuns: 500 },
  );
});

test('bytes that end too early are a fault, and never read beyond', () => {
  fc.assert(
    fc.property(logs, fc.nat(), (request, at) => {
      const body = bytesOfRequest('logs', request);
      const cut = body.subarray(0, at % body.length);
      try {
        expect(itemsIn(chunksOf(cut))).toBeLessThanOrEqual(itemsIn(chunksOf(body)));
      } catch (error) {
        expect(error).toBeInstanceOf(ProtobufFault);
      }
    }),
  );
});

test.each([
  ['hits:3|c', [{ name: 'hits', value: 3, type: 'counter', source: 'app' }]],
  ['hits:3|c|@0.5', [{ name: 'hits', value: 6, type: 'counter', source: 'app' }]],
  ['depth:-7.5|g:1', undefined],
  [
    'depth:7.5|g|#host:a,service:shop,alone',
    [{ name: 'depth', value: 7.5, type: 'gauge', source: 'shop', tags: { host: 'a', alone: 'true' } }],
  ],
  [
    't:1:2|ms',
    [
      { name: 't', value: 1, type: 'histogram', unit: 'ms', source: 'app' },
      { name: 't', value: 2, type: 'histogram', unit: 'ms', source: 'app' },
    ],
  ],
  [
    't:1|h|@0.5',
    [
      { name: 't', value: 1, type: 'histogram', source: 'app' },
      { name: 't', value: 1, type: 'histogram', source: 'app' },
    ],
  ],
  ['no colon|c', undefined],
  [':1|c', undefined],
  ['x:NaN|g', undefined],
  ['x:0x10|g', undefined],
  ['x:-1|c', undefined],
  ['x:1|c|@0', undefined],
  ['x:1|s', undefined],
  ['x:1', undefined],
])('the StatsD line %s is read', (line, records) => {
  const read = readStatsd(line, 'app');
  if (records === undefined) expect(read.kind).toBe('bad');
  else expect(read).toEqual({ kind: 'records', records });
});

test('a timing of a small rate stands for as many as it says, and a line that stands for too many says so', () => {
  const read = readStatsd('t:7|ms|@0.001', 'app');
  expect(read.kind === 'records' && read.records.length).toBe(1_000);
  for (const line of ['t:7|ms|@0.00001', `t:${Array.from({ length: 200 }, () => 1).join(':')}|h|@0.01`])
    expect(readStatsd(line, 'app')).toEqual({
      kind: 'bad',
      problem: 'a line stands for at most 10000 values, by its rate',
    });
  expect(readStatsd('hits:1|c|@0.0001', 'app')).toMatchObject({ records: [{ value: 10_000 }] });
});

test('a gauge with a sign is a change', () => {
  expect(readStatsd('depth:-2|g', 'app')).toMatchObject({ kind: 'change', record: { value: -2 } });
});
