/**
 * A histogram with explicit buckets: `counts[i]` counts values in (bounds[i−1], bounds[i]], the last one what lies
 * above all bounds. Cumulative, like OTLP's.
 */
export interface Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[];
  count: number;
  sum: number;
  min: number;
  max: number;
}

/** OpenTelemetry's default bounds: what a histogram without a known scale gets. */
export const defaultBounds: readonly number[] = [
  0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000,
];

/** Bounds for durations in milliseconds: six to a decade, so that a percentile is right within a few per cent. */
export const durationBounds: readonly number[] = [
  0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700,
  1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 60_000, 300_000,
];

export const emptyHistogram = (bounds: readonly number[]): Histogram => ({
  bounds,
  counts: Array.from({ length: bounds.length + 1 }, () => 0),
  count: 0,
  sum: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
});

/** Counts one finite value. O(log buckets) */
export function observe(histogram: Histogram, value: number): void {
  const bucket = bucketOf(histogram.bounds, value);
  histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
  histogram.count += 1;
  histogram.sum += value;
  histogram.min = Math.min(histogram.min, value);
  histogram.max = Math.max(histogram.max, value);
}

/** The sum of two histograms, by the bounds of both: each bucket is counted at its own upper bound. */
export function merged(one: Histogram, other: Histogram): Histogram {
  const bounds = boundsOfBoth(one.bounds, other.bounds);
  const counts = Array.from({ length: bounds.length + 1 }, () => 0);
  for (const each of [one, other]) move(each, { bounds, counts }, 1);
  return {
    bounds,
    counts,
    count: one.count + other.count,
    sum: one.sum + other.sum,
    min: Math.min(one.min, other.min),
    max: Math.max(one.max, other.max),
  };
}

/** What came into a histogram after it was as `before`, also where it has got more bounds since. */
export function addedSince(now: Histogram, before: Histogram): Histogram {
  const counts = [...now.counts];
  move(before, { bounds: now.bounds, counts }, -1);
  return {
    ...now,
    counts: counts.map((count) => Math.max(0, count)),
    count: Math.max(0, now.count - before.count),
  };
}

/** Adds each bucket, or takes it away, where its upper bound lies. */
function move(from: Histogram, to: Pick<Histogram, 'bounds' | 'counts'>, sign: 1 | -1): void {
  for (const [index, count] of from.counts.entries()) {
    const bucket = bucketOf(to.bounds, from.bounds[index] ?? Number.POSITIVE_INFINITY);
    to.counts[bucket] = (to.counts[bucket] ?? 0) + sign * count;
  }
}

function boundsOfBoth(one: readonly number[], other: readonly number[]): readonly number[] {
  if (one.length === other.length && one.every((bound, index) => bound === other[index])) return one;
  return [...new Set([...one, ...other])].sort((first, second) => first - second);
}

/**
 * The value below which a share of all values lies, read from the buckets by linear interpolation and held between
 * the least and the greatest value seen.
 * @param share in [0, 1]
 * @returns undefined when nothing was counted
 */
export function percentile(histogram: Histogram, share: number): number | undefined {
  if (histogram.count === 0) return undefined;
  const rank = share * histogram.count;
  let below = 0;
  for (const [index, count] of histogram.counts.entries()) {
    if (count === 0) continue;
    if (below + count >= rank) {
      const lower = Math.max(histogram.min, histogram.bounds[index - 1] ?? histogram.min);
      const upper = Math.min(histogram.max, histogram.bounds[index] ?? histogram.max);
      return lower + (upper - lower) * Math.max(0, (rank - below) / count);
    }
    below += count;
  }
  return histogram.max;
}

/** The first bucket whose upper bound is not below `value`. */
function bucketOf(bounds: readonly number[], value: number): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value <= (bounds[middle] ?? Number.POSITIVE_INFINITY)) high = middle;
    else low = middle + 1;
  }
  return low;
}
