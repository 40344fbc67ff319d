import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Position, deltaOf } from '#services/telemetry-collector/core/deltas.ts';
import {
  type MetricType,
  type Series,
  SeriesTable,
  defaultLimits,
  snapshotOf,
} from '#services/telemetry-collector/core/series.ts';

const update = (type: MetricType, value: number) => ({
  source: 'shop',
  name: `of-${type}`,
  type,
  unit: '',
  labels: [],
  overflowLabels: [],
  value,
  atMs: 1_000,
});

/** The points that a destination gets when it is given what was counted after each of these groups of values. */
function cutAfterEach(type: MetricType, groups: readonly (readonly number[])[]) {
  const table = new SeriesTable(defaultLimits);
  const points: Series[] = [];
  let position: Position | undefined;
  let total: Series | undefined;
  for (const group of groups) {
    for (const value of group) table.apply([update(type, value)]);
    const found = table.find(update(type, 0));
    if (found === undefined) continue;
    // All in one millisecond: what a busy collector does.
    found.updatedMs = 1_000;
    total = snapshotOf(found);
    const cut = deltaOf(total, position);
    if (cut === undefined) continue;
    points.push(cut.point);
    position = cut.position;
  }
  return { points, total };
}

const groups = (value: fc.Arbitrary<number>) =>
  fc.array(fc.array(value, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 12 });

test('the deltas of a counter add up to its total, and each begins where the one before it ended', () => {
  fc.assert(
    fc.property(groups(fc.integer({ min: 0, max: 1_000_000 })), (given) => {
      const { points, total } = cutAfterEach('counter', given);
      const sum = points.reduce((so, one) => so + (one.type === 'counter' ? one.total : 0), 0);
      expect(sum).toBe(total?.type === 'counter' ? total.total : 0);
      for (const [index, point] of points.entries()) {
        expect(point.updatedMs).toBeGreaterThan(point.startMs);
        if (index > 0) expect(point.startMs).toBe(points[index - 1]?.updatedMs);
      }
    }),
  );
});

test('fractions do not drift: a receiver that adds up is never further off than one rounding', () => {
  const { points, total } = cutAfterEach(
    'counter',
    Array.from({ length: 1_000 }, () => [0.1]),
  );
  const sum = points.reduce((so, one) => so + (one.type === 'counter' ? one.total : 0), 0);
  expect(Math.abs(sum - (total?.type === 'counter' ? total.total : 0))).toBeLessThan(1e-13);
});

test('the deltas of a histogram add up to it bucket by bucket', () => {
  fc.assert(
    fc.property(groups(fc.integer({ min: -5, max: 20_000 })), (given) => {
      const { points, total } = cutAfterEach('histogram', given);
      if (total?.type !== 'histogram') throw new Error('no histogram');
      const sums = total.histogram.counts.map((_, bucket) =>
        points.reduce(
          (so, one) => so + (one.type === 'histogram' ? (one.histogram.counts[bucket] ?? 0) : 0),
          0,
        ),
      );
      expect(sums).toEqual(total.histogram.counts);
      const added = (field: 'count' | 'sum') =>
        points.reduce((so, one) => so + (one.type === 'histogram' ? one.histogram[field] : 0), 0);
      expect([added('count'), added('sum')]).toEqual([total.histogram.count, total.histogram.sum]);
    }),
  );
});

test('the deltas of an exponential histogram have no bucket below zero, and their counts add up, though its scale sinks', () => {
  fc.assert(
    fc.property(groups(fc.double({ min: -1e9, max: 1e9, noNaN: true })), (given) => {
      const { points, total } = cutAfterEach('exponential_histogram', given);
      if (total?.type !== 'exponential_histogram') throw new Error('no histogram');
      let counted = 0;
      for (const point of points) {
        if (point.type !== 'exponential_histogram') throw new Error('another type');
        const { positive, negative, zeroCount, count } = point.histogram;
        const all = [...positive.counts, ...negative.counts, zeroCount];
        expect(Math.min(...all)).toBeGreaterThanOrEqual(0);
        expect(all.reduce((so, one) => so + one, 0)).toBe(count);
        counted += count;
      }
      expect(counted).toBe(total.histogram.count);
    }),
  );
});

test('a gauge is its value, and goes again only when it was told again', () => {
  const { points } = cutAfterEach('gauge', [[5], [5], [7]]);
  expect(points.map((one) => (one.type === 'gauge' ? one.value : undefined))).toEqual([5, 7]);
});
