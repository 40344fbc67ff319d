import {
  type ExponentialHistogram,
  bucketsInOrder,
  copyOfExponential,
  lower,
  percentileExponential,
} from './exponential-histogram.ts';
import { type Histogram, percentile } from './histogram.ts';
import type { Series } from './series.ts';

export type Distribution = Extract<Series, { readonly type: 'histogram' | 'exponential_histogram' }>;

export const isDistribution = (series: Series): series is Distribution =>
  series.type === 'histogram' || series.type === 'exponential_histogram';

/** The value below which `share` of what was counted lies; undefined when nothing was. */
export const percentileOf = (series: Distribution, share: number): number | undefined =>
  series.type === 'histogram'
    ? percentile(series.histogram, share)
    : percentileExponential(series.histogram, share);

export const explicitOf = (series: Distribution): Histogram =>
  series.type === 'histogram' ? series.histogram : explicitBuckets(series.histogram);

/**
 * An exponential histogram for readers that know explicit bounds alone. At most four buckets to a factor of two, so
 * that the bounds stay on one grid while the scale sinks: what appears later appears between those that were there.
 */
export function explicitBuckets(given: ExponentialHistogram): Histogram {
  const coarse = copyOfExponential(given);
  lower(coarse, Math.min(coarse.scale, 2));
  const { count, sum, min, max } = given;
  const bounds: number[] = [];
  const counts: number[] = [];
  // The bucket of the greatest numbers has no end that a number could be: it is the last one, which has no bound.
  let unbounded = 0;
  for (const { lower: from, upper, count: own } of bucketsInOrder(coarse)) {
    // Where it begins, unless the one before it ends there: whoever reads percentiles would take the gap for its own.
    if (Number.isFinite(from) && (bounds.at(-1) ?? Number.NEGATIVE_INFINITY) < from) {
      bounds.push(from);
      counts.push(0);
    }
    if (Number.isFinite(upper) && upper > (bounds.at(-1) ?? Number.NEGATIVE_INFINITY)) {
      bounds.push(upper);
      counts.push(own);
    } else if (Number.isFinite(upper)) counts[counts.length - 1] = (counts.at(-1) ?? 0) + own;
    else unbounded += own;
  }
  return { bounds, counts: [...counts, unbounded], count, sum, min, max };
}
