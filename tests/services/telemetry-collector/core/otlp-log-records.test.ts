import { SeverityNumber } from '@opentelemetry/api';
import { millisToHrTime } from '@opentelemetry/core';
import { ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { attributesOf } from '#services/telemetry-collector/core/attribute-values.ts';
import type { LogEntry } from '#services/telemetry-collector/core/interpret.ts';
import { chunksOf, itemsIn, requestOf } from '#services/telemetry-collector/core/otlp-chunks.ts';
import { LogRecordEncoder, scopeName } from '#services/telemetry-collector/core/otlp-log-records.ts';
import { telemetryLevels } from '#shared/protocol/telemetry-records.ts';

const hex = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes).toString('hex'));

const entries: fc.Arbitrary<LogEntry> = fc.record({
  kind: fc.constantFrom('event', 'error', 'log'),
  source: fc.constant('shop'),
  level: fc.constantFrom(...telemetryLevels),
  body: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }).map((text) => text.toWellFormed()),
  attributes: fc
    .dictionary(
      fc.string({ unit: 'grapheme', minLength: 1 }),
      fc.anything({ withBigInt: true, withDate: true, withTypedArray: false }),
    )
    .map(attributesOf),
  atMs: fc.integer({ min: 0, max: 8_640_000_000_000 }),
  receivedMs: fc.integer({ min: 0, max: 8_640_000_000_000 }),
  origin: fc.option(fc.record({ traceId: hex(16), spanId: hex(8), traceFlags: fc.constantFrom(0, 1) }), {
    nil: undefined,
  }),
});

const resource = resourceFromAttributes({ 'service.name': 'shop' });
const scope = { name: scopeName };

const severities = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warning: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
  critical: SeverityNumber.FATAL,
};

const sdkRecord = (entry: LogEntry): ReadableLogRecord => ({
  hrTime: millisToHrTime(entry.atMs),
  hrTimeObserved: millisToHrTime(entry.receivedMs),
  ...(entry.origin === undefined ? {} : { spanContext: entry.origin }),
  severityText: entry.level,
  severityNumber: severities[entry.level],
  body: entry.body,
  ...(entry.kind === 'event' ? { eventName: entry.body } : {}),
  resource,
  instrumentationScope: scope,
  attributes: entry.attributes,
  droppedAttributesCount: 0,
});

const placed = (all: readonly LogEntry[]) => all.map((entry, index) => ({ index, entry }));

test('what is written by hand is to the byte what the serializer of OpenTelemetry writes', () => {
  fc.assert(
    fc.property(fc.array(entries, { minLength: 1, maxLength: 5 }), (all) => {
      const ours = requestOf(new LogRecordEncoder().chunks(placed(all)));
      const theirs = ProtobufLogsSerializer.serializeRequest(all.map(sdkRecord));
      expect(Buffer.from(ours).toString('hex')).toBe(Buffer.from(theirs ?? []).toString('hex'));
    }),
    { numRuns: 300 },
  );
});

test('a request that is taken apart and put together again is the same to the byte', () => {
  fc.assert(
    fc.property(fc.array(entries, { minLength: 1, maxLength: 8 }), (all) => {
      const request = requestOf(new LogRecordEncoder().chunks(placed(all)));
      const chunks = chunksOf(request);
      expect(itemsIn(chunks)).toBe(all.length);
      expect(Buffer.from(requestOf(chunks)).equals(request)).toBe(true);
    }),
  );
});

test('records of several sources become one chunk for each, with their places', () => {
  const entry = (source: string): LogEntry => ({
    kind: 'log',
    source,
    level: 'info',
    body: 'line',
    attributes: {},
    atMs: 1,
    receivedMs: 2,
    origin: undefined,
  });
  const chunks = new LogRecordEncoder().chunks(placed([entry('a'), entry('b'), entry('a')]));
  expect(chunks.map((chunk) => chunk.places)).toEqual([[0, 2], [1]]);
});

test('messages of one source share one frame in a request', () => {
  const encoder = new LogRecordEncoder();
  const entry: LogEntry = {
    kind: 'log',
    source: 'a',
    level: 'info',
    body: 'line',
    attributes: {},
    atMs: 1,
    receivedMs: 2,
    origin: undefined,
  };
  const chunks = [...encoder.chunks(placed([entry])), ...encoder.chunks(placed([entry, entry]))];
  expect(chunksOf(requestOf(chunks)).map((chunk) => chunk.ends.length)).toEqual([3]);
});
