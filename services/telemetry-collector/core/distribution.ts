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
  const buckets = bucketsInOrder(coarse);
  const { count, sum, min, max } = given;
  return {
    bounds: buckets.map((one) => one.upper),
    counts: [...buckets.map((one) => one.count), 0],
    count,
    sum,
    min,
    max,
  };
}
