import fc from 'fast-check';
import { expect, test } from 'vitest';
import { explicitBuckets } from '#services/telemetry-collector/core/distribution.ts';
import {
  type ExponentialHistogram,
  boundary,
  bucketIndex,
  bucketsInOrder,
  bucketsMax,
  emptyExponential,
  mergedExponential,
  observeExponential,
  percentileExponential,
} from '#services/telemetry-collector/core/exponential-histogram.ts';

const histogramOf = (values: readonly number[]): ExponentialHistogram => {
  const histogram = emptyExponential();
  for (const value of values) observeExponential(histogram, value);
  return histogram;
};
const anyValues = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 200 });
const durations = fc.array(fc.double({ min: 0.001, max: 100_000, noNaN: true }), {
  minLength: 1,
  maxLength: 300,
});
const counted = (histogram: ExponentialHistogram): number =>
  bucketsInOrder(histogram).reduce((sum, one) => sum + one.count, 0);

test('every value lies between the bounds of its bucket', () => {
  fc.assert(
    fc.property(
      // Smaller ones are too coarse for their bounds to be told apart.
      fc.double({ min: 2 ** -1_022, noNaN: true, noDefaultInfinity: true }),
      fc.integer({ min: -10, max: 20 }),
      (value, scale) => {
        const index = bucketIndex(value, scale);
        expect(value).toBeGreaterThan(boundary(index, scale));
        expect(value).toBeLessThanOrEqual(boundary(index + 1, scale));
      },
    ),
  );
});

test('powers of two are the upper bounds of their buckets, at every scale', () => {
  for (let scale = -10; scale <= 20; scale += 1)
    for (const power of [-100, -1, 0, 1, 52, 1_000])
      expect(bucketIndex(2 ** power, scale), `2^${power} at ${scale}`).toBe(
        Math.ceil(power * 2 ** scale) - 1,
      );
});

test('no value is lost, and there are never more buckets than allowed', () => {
  fc.assert(
    fc.property(anyValues, (values) => {
      const histogram = histogramOf(values);
      expect(histogram.count).toBe(values.length);
      expect(counted(histogram)).toBe(values.length);
      expect(histogram.positive.counts.length).toBeLessThanOrEqual(bucketsMax);
      expect(histogram.negative.counts.length).toBeLessThanOrEqual(bucketsMax);
    }),
  );
});

test('two halves merged count as the whole, in any order, and are left as they were', () => {
  fc.assert(
    fc.property(anyValues, anyValues, (one, other) => {
      const [left, right] = [histogramOf(one), histogramOf(other)];
      const before = structuredClone([left, right]);
      const sum = mergedExponential(left, right);
      const whole = histogramOf([...one, ...other]);
      expect({ ...sum, sum: 0 }).toEqual({ ...whole, sum: 0 });
      expect({ ...mergedExponential(right, left), sum: 0 }).toEqual({ ...whole, sum: 0 });
      expect([left, right]).toEqual(before);
    }),
  );
});

test('a percentile is right within the width of a bucket', () => {
  fc.assert(
    fc.property(durations, fc.constantFrom(0.5, 0.95, 0.99), (values, share) => {
      const sorted = values.toSorted((one, other) => one - other);
      const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
      const histogram = histogramOf(values);
      const width = 2 ** (2 ** -histogram.scale);
      const found = percentileExponential(histogram, share) ?? Number.NaN;
      expect(found).toBeGreaterThanOrEqual(exact / width);
      expect(found).toBeLessThanOrEqual(exact * width);
    }),
  );
});

test('nothing counted has no percentile', () => {
  expect(percentileExponential(emptyExponential(), 0.5)).toBeUndefined();
});

test('explicit buckets hold what the exponential ones held, in rising bounds', () => {
  fc.assert(
    fc.property(anyValues, (values) => {
      const { bounds, counts, count } = explicitBuckets(histogramOf(values));
      expect(counts.reduce((sum, one) => sum + one, 0)).toBe(values.length);
      expect(count).toBe(values.length);
      expect(bounds).toEqual(bounds.toSorted((one, other) => one - other));
      for (const [index, bound] of bounds.entries()) {
        const below = counts.slice(0, index + 1).reduce((sum, one) => sum + one, 0);
        // On the very boundary a double may fall to either side when buckets are joined.
        const strictly = values.filter((value) => value < bound * (1 - Math.sign(bound) * 1e-9)).length;
        const loosely = values.filter((value) => value <= bound * (1 + Math.sign(bound) * 1e-9)).length;
        expect(below).toBeGreaterThanOrEqual(strictly);
        expect(below).toBeLessThanOrEqual(loosely);
      }
    }),
  );
});
