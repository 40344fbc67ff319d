import { ValueType } from '@opentelemetry/api';
import { millisToHrTime } from '@opentelemetry/core';
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AggregationTemporality, DataPointType, type MetricData } from '@opentelemetry/sdk-metrics';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  emptyExponential,
  observeExponential,
} from '#services/telemetry-collector/core/exponential-histogram.ts';
import { defaultBounds, emptyHistogram, observe } from '#services/telemetry-collector/core/histogram.ts';
import { scopeName } from '#services/telemetry-collector/core/otlp-log-records.ts';
import { MetricsEncoder, type Temporality } from '#services/telemetry-collector/core/otlp-metrics.ts';
import { type Series, labelsOf } from '#services/telemetry-collector/core/series.ts';

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).map((one) => one.toWellFormed());
const value = fc.double({ noNaN: true, noDefaultInfinity: true });
const time = fc.integer({ min: 0, max: 8_640_000_000_000 });
// Objects, which the SDK has its attributes in, put names that are whole numbers before all others.
const name = text.map((one) => `a${one}`);

const identity = {
  id: fc.nat(),
  source: fc.constantFrom('shop', 'bank', 'käse'),
  name: fc.constantFrom('requests', 'durations', 'größe', 'b requests'),
  unit: fc.constantFrom('', 'ms', 'a', 'a b'),
  labels: fc.dictionary(name, fc.oneof(text, fc.constant('x'.repeat(200)))).map(labelsOf),
  startMs: time,
  updatedMs: time,
};

const histogramOf = (values: readonly number[], bounds: readonly number[]) => {
  const histogram = emptyHistogram(bounds);
  for (const one of values) observe(histogram, one);
  return histogram;
};

const exponentialOf = (values: readonly number[]) => {
  const histogram = emptyExponential();
  for (const one of values) observeExponential(histogram, one);
  return histogram;
};

const series: fc.Arbitrary<Series> = fc.oneof(
  fc.record({ ...identity, type: fc.constant('counter' as const), total: value }),
  fc.record({ ...identity, type: fc.constant('gauge' as const), value, atMs: time }),
  fc.record({
    ...identity,
    type: fc.constant('histogram' as const),
    // None: a histogram without a value, whose range is not known. Changes are sent like that.
    histogram: fc
      .tuple(fc.array(value), fc.constantFrom(defaultBounds, []))
      .map(([values, bounds]) => histogramOf(values, bounds)),
  }),
  fc.record({
    ...identity,
    type: fc.constant('exponential_histogram' as const),
    histogram: fc.array(fc.oneof(value, fc.constant(0))).map(exponentialOf),
  }),
);

/** What OpenTelemetry's own serializer makes of them. */
function bySdk(points: readonly Series[], temporality: Temporality): Buffer {
  const parts = [...Map.groupBy(points, (one) => one.source)].map(([source, own]) => {
    const byInstrument = Map.groupBy(own, (one) => JSON.stringify([one.type, one.unit, one.name]));
    return ProtobufMetricsSerializer.serializeRequest({
      resource: resourceFromAttributes({ 'service.name': source, 'service.instance.id': 'collector-1' }),
      scopeMetrics: [
        {
          scope: { name: scopeName },
          metrics: [...byInstrument.values()].map((same) => metricOf(same, temporality)),
        },
      ],
    });
  });
  return Buffer.concat(parts.map((part) => part ?? new Uint8Array()));
}

function metricOf(points: readonly Series[], temporality: Temporality): MetricData {
  const [first] = points;
  const common = {
    descriptor: {
      name: first?.name ?? '',
      description: '',
      unit: first?.unit ?? '',
      valueType: ValueType.DOUBLE,
    },
    aggregationTemporality:
      temporality === 'delta' ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE,
    dataPoints: points.map((one) => ({
      startTime: millisToHrTime(one.startMs),
      endTime: millisToHrTime(one.type === 'gauge' ? one.atMs : one.updatedMs),
      attributes: Object.fromEntries(one.labels),
      value: valueOf(one),
    })),
  };
  const dataPointType = {
    counter: DataPointType.SUM,
    gauge: DataPointType.GAUGE,
    histogram: DataPointType.HISTOGRAM,
    exponential_histogram: DataPointType.EXPONENTIAL_HISTOGRAM,
  }[first?.type ?? 'gauge'];
  return { ...common, dataPointType, isMonotonic: true } as MetricData;
}

function valueOf(one: Series): unknown {
  if (one.type === 'counter') return one.total;
  if (one.type === 'gauge') return one.value;
  const { count, sum, min, max } = one.histogram;
  const range = Number.isFinite(min) ? { min, max } : {};
  if (one.type === 'histogram') {
    const buckets = { boundaries: [...one.histogram.bounds], counts: [...one.histogram.counts] };
    return { buckets, count, sum, ...range };
  }
  const { scale, zeroCount, positive, negative } = one.histogram;
  const bucketsOf = ({ offset, counts }: typeof positive) => ({ offset, bucketCounts: [...counts] });
  const sides = { positive: bucketsOf(positive), negative: bucketsOf(negative) };
  return { count, sum, scale, zeroCount, ...sides, ...range };
}

test('series become the bytes that the serializer of OpenTelemetry makes of them', () => {
  // One for all, as in a collector: what a request leaves behind must not show in the next.
  const encoder = new MetricsEncoder('collector-1');
  fc.assert(
    fc.property(
      fc.array(series, { maxLength: 12 }),
      fc.constantFrom<Temporality>('cumulative', 'delta'),
      (points, temporality) => {
        const request = Buffer.from(encoder.request(points, temporality));
        expect(request.toString('hex')).toBe(bySdk(points, temporality).toString('hex'));
      },
    ),
    { numRuns: 500 },
  );
});

test('a request that is larger than what is kept for the next one is whole, and so is the next', () => {
  const encoder = new MetricsEncoder('collector-1');
  const one = (id: number): Series => ({
    id,
    source: 'shop',
    name: 'requests',
    unit: '',
    startMs: 1,
    updatedMs: 2,
    type: 'counter',
    total: id,
    labels: [['path', `/${'x'.repeat(1_000)}/${id}`]],
  });
  const many = Array.from({ length: 6_000 }, (_, id) => one(id));
  for (const points of [many, many.slice(0, 3)])
    expect(Buffer.compare(encoder.request(points, 'cumulative'), bySdk(points, 'cumulative'))).toBe(0);
});

test('instruments whose unit and name read the same one after the other are two', () => {
  const common = { source: 's', labels: [], startMs: 1, updatedMs: 2, type: 'counter', total: 1 } as const;
  const one: Series = { ...common, id: 1, unit: 'a', name: 'b c' };
  const other: Series = { ...common, id: 2, unit: 'a b', name: 'c' };
  const request = new MetricsEncoder('collector-1').request([one, other], 'cumulative');
  expect(Buffer.compare(request, bySdk([one, other], 'cumulative'))).toBe(0);
});
