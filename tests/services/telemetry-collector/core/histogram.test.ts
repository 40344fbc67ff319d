import fc from 'fast-check';
import { expect, test } from 'vitest';
import { explicitBuckets } from '#services/telemetry-collector/core/distribution.ts';
import {
  emptyExponential,
  observeExponential,
} from '#services/telemetry-collector/core/exponential-histogram.ts';
import {
  type Histogram,
  addedSince,
  defaultBounds,
  durationBounds,
  emptyHistogram,
  merged,
  observe,
  percentile,
} from '#services/telemetry-collector/core/histogram.ts';

const histogramOf = (values: readonly number[], bounds = durationBounds) => {
  const histogram = emptyHistogram(bounds);
  for (const value of values) observe(histogram, value);
  return histogram;
};

const durations = fc.array(fc.double({ min: 0, max: 400_000, noNaN: true }), {
  minLength: 1,
  maxLength: 200,
});

test('every value is counted in exactly one bucket, the one that its bounds enclose', () => {
  fc.assert(
    fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), (value) => {
      const histogram = histogramOf([value], defaultBounds);
      const bucket = histogram.counts.indexOf(1);
      expect(histogram.counts.reduce((sum, count) => sum + count, 0)).toBe(1);
      expect(value).toBeGreaterThan(defaultBounds[bucket - 1] ?? Number.NEGATIVE_INFINITY);
      expect(value).toBeLessThanOrEqual(defaultBounds[bucket] ?? Number.POSITIVE_INFINITY);
    }),
  );
});

test('two halves merged are the whole', () => {
  fc.assert(
    fc.property(durations, durations, (one, other) => {
      const sum = merged(histogramOf(one), histogramOf(other));
      const whole = histogramOf([...one, ...other]);
      expect(sum).toEqual({ ...whole, sum: expect.closeTo(whole.sum, 3) as number });
    }),
  );
});

test('merging leaves what it merges as it was', () => {
  const one = histogramOf([1, 2]);
  const before = structuredClone(one);
  merged(one, histogramOf([3]));
  expect(one).toEqual(before);
});

test('histograms with other bounds merge without losing a value', () => {
  const sum = merged(histogramOf([1, 2, 3]), histogramOf([5, 20_000], defaultBounds));
  expect(sum.count).toBe(5);
  expect(sum.counts.reduce((total, count) => total + count, 0)).toBe(5);
});

test('percentiles rise with their share and stay between the least and the greatest value', () => {
  fc.assert(
    fc.property(durations, (values) => {
      const histogram = histogramOf(values);
      const found = [0, 0.25, 0.5, 0.95, 0.99, 1].map((share) => percentile(histogram, share) ?? Number.NaN);
      expect(found).toEqual(found.toSorted((one, other) => one - other));
      expect(found[0]).toBeGreaterThanOrEqual(histogram.min);
      expect(found.at(-1)).toBeLessThanOrEqual(histogram.max);
    }),
  );
});

test('a percentile lies in the bucket of the true one', () => {
  fc.assert(
    fc.property(durations, fc.constantFrom(0.5, 0.95, 0.99), (values, share) => {
      const sorted = values.toSorted((one, other) => one - other);
      const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
      const found = percentile(histogramOf(values), share) ?? Number.NaN;
      const bucket = histogramOf([exact]).counts.indexOf(1);
      expect(found).toBeGreaterThanOrEqual(durationBounds[bucket - 1] ?? 0);
      expect(found).toBeLessThanOrEqual(durationBounds[bucket] ?? Number.POSITIVE_INFINITY);
    }),
  );
});

test('nothing counted has no percentile', () => {
  expect(percentile(emptyHistogram(durationBounds), 0.5)).toBeUndefined();
});

const exponentialOf = (values: readonly number[]): Histogram => {
  const histogram = emptyExponential();
  for (const value of values) observeExponential(histogram, value);
  return explicitBuckets(histogram);
};
const counted = ({ counts }: Histogram): number => counts.reduce((sum, count) => sum + count, 0);

test('what came later is all that came later, however the bounds have changed since', () => {
  const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { maxLength: 50 });
  fc.assert(
    fc.property(values, values, (early, late) => {
      const added = addedSince(exponentialOf([...early, ...late]), exponentialOf(early));
      expect(counted(added)).toBe(late.length);
      expect(added.count).toBe(late.length);
    }),
  );
});

test('it lies where it came, also beside the values of another series', () => {
  const values = fc.array(fc.double({ min: 1, max: 1e4, noNaN: true }), { maxLength: 50 });
  fc.assert(
    fc.property(values, values, values, (early, late, others) => {
      const all = (own: readonly number[]) => merged(exponentialOf(others), exponentialOf(own));
      const added = addedSince(all([...early, ...late]), all(early));
      const alone = exponentialOf(late);
      for (const [index, bound] of alone.bounds.entries()) {
        const below = alone.counts.slice(0, index + 1).reduce((sum, count) => sum + count, 0);
        const place = added.bounds.indexOf(bound);
        expect(added.counts.slice(0, place + 1).reduce((sum, count) => sum + count, 0)).toBe(below);
      }
    }),
  );
});

test('a merged histogram keeps the places of values that only one of both has', () => {
  const fast = emptyExponential();
  const slow = emptyExponential();
  for (let index = 0; index < 100; index += 1) {
    observeExponential(fast, 10);
    observeExponential(slow, 1_000);
  }
  observeExponential(slow, 100_000);
  const sum = merged(explicitBuckets(fast), explicitBuckets(slow));
  expect(percentile(sum, 0.25)).toBeLessThan(12);
  expect(percentile(sum, 0.75)).toBeGreaterThan(700);
  expect(percentile(sum, 0.75)).toBeLessThan(1_200);
});
