/**
 * A histogram whose buckets grow by a constant factor: bucket `i` counts values in (base^i, base^(i+1)] with
 * base = 2^(2^-scale). It fits itself to what it sees: when the values need more than `bucketsMax` buckets, two
 * neighbours become one, and the scale sinks by 1.
 * Source: OpenTelemetry Metrics Data Model, "ExponentialHistogram".
 */
export interface ExponentialHistogram {
  scale: number;
  count: number;
  sum: number;
  min: number;
  max: number;
  zeroCount: number;
  positive: Buckets;
  negative: Buckets;
}

export interface Buckets {
  /** Index of the first bucket. */
  offset: number;
  counts: number[];
}

/** OpenTelemetry's default: an error below 5 % over five orders of magnitude. */
export const bucketsMax = 160;

export const scaleMax = 20;
/** All numbers of a double fit into two buckets there. */
export const scaleMin = -10;

export const emptyExponential = (): ExponentialHistogram => ({
  scale: scaleMax,
  count: 0,
  sum: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
  zeroCount: 0,
  positive: { offset: 0, counts: [] },
  negative: { offset: 0, counts: [] },
});

/** Counts one finite value. O(1), and O(buckets) where the scale sinks. */
export function observeExponential(histogram: ExponentialHistogram, value: number): void {
  histogram.count += 1;
  histogram.sum += value;
  histogram.min = Math.min(histogram.min, value);
  histogram.max = Math.max(histogram.max, value);
  if (value === 0) histogram.zeroCount += 1;
  else {
    const side = value > 0 ? 'positive' : 'negative';
    const size = Math.abs(value);
    const index = bucketIndex(size, histogram.scale);
    const excess = excessOf(histogram[side], index, index);
    lower(histogram, histogram.scale - excess);
    add(histogram[side], index >> excess, 1);
  }
}

/** The sum of two: at the lesser of their scales, or below where both together need more buckets. */
export function mergedExponential(
  one: ExponentialHistogram,
  other: ExponentialHistogram,
): ExponentialHistogram {
  const sum = copyOfExponential(one);
  const from = copyOfExponential(other);
  const scale = Math.min(sum.scale, from.scale);
  lower(sum, scale);
  lower(from, scale);
  const excess = Math.max(rangeExcess(sum.positive, from.positive), rangeExcess(sum.negative, from.negative));
  lower(sum, scale - excess);
  lower(from, scale - excess);
  for (const side of ['positive', 'negative'] as const) {
    for (const [index, count] of from[side].counts.entries())
      if (count > 0) add(sum[side], from[side].offset + index, count);
  }
  sum.count += from.count;
  sum.sum += from.sum;
  sum.zeroCount += from.zeroCount;
  sum.min = Math.min(sum.min, from.min);
  sum.max = Math.max(sum.max, from.max);
  return sum;
}

export const copyOfExponential = (from: ExponentialHistogram): ExponentialHistogram => ({
  ...from,
  positive: { offset: from.positive.offset, counts: [...from.positive.counts] },
  negative: { offset: from.negative.offset, counts: [...from.negative.counts] },
});

/** Makes the buckets wider, down to `scale`. */
export function lower(histogram: ExponentialHistogram, scale: number): void {
  const steps = histogram.scale - Math.max(scale, scaleMin);
  if (steps <= 0) return;
  histogram.positive = halved(histogram.positive, steps);
  histogram.negative = halved(histogram.negative, steps);
  histogram.scale -= steps;
}

/**
 * The value below which a share of all values lies: the middle of its bucket on the exponential scale, held between
 * the least and the greatest value seen.
 * @param share in [0, 1]
 * @returns undefined when nothing was counted
 */
export function percentileExponential(histogram: ExponentialHistogram, share: number): number | undefined {
  if (histogram.count === 0) return undefined;
  const rank = Math.max(share * histogram.count, Number.MIN_VALUE);
  let below = 0;
  for (const { middle, count } of bucketsInOrder(histogram)) {
    below += count;
    if (below >= rank) return Math.min(Math.max(middle, histogram.min), histogram.max);
  }
  return histogram.max;
}

/** Buckets that are not empty, from the least values to the greatest. */
export function bucketsInOrder(histogram: ExponentialHistogram): readonly {
  readonly lower: number;
  readonly upper: number;
  readonly middle: number;
  readonly count: number;
}[] {
  const { scale, negative, positive, zeroCount } = histogram;
  const negatives = negative.counts.map((count, index) => ({
    lower: -boundary(negative.offset + index + 1, scale),
    upper: -boundary(negative.offset + index, scale),
    middle: -boundary(negative.offset + index + 0.5, scale),
    count,
  }));
  const positives = positive.counts.map((count, index) => ({
    lower: boundary(positive.offset + index, scale),
    upper: boundary(positive.offset + index + 1, scale),
    middle: boundary(positive.offset + index + 0.5, scale),
    count,
  }));
  const zero = { lower: 0, upper: 0, middle: 0, count: zeroCount };
  return [...negatives.reverse(), zero, ...positives].filter(({ count }) => count > 0);
}

/** base^index. */
export const boundary = (index: number, scale: number): number => 2 ** (index * 2 ** -scale);

/**
 * The bucket of a positive value: at every scale the one that holds its bucket at the finest one, so that it does not
 * matter at which scale a value was counted. Its index fits 32 bits.
 */
export const bucketIndex = (value: number, scale: number): number => finestIndex(value) >> (scaleMax - scale);

function finestIndex(value: number): number {
  const index = Math.ceil(Math.log2(value) * 2 ** scaleMax) - 1;
  // The logarithm is rounded: at a boundary the value itself decides.
  if (value <= boundary(index, scaleMax)) return index - 1;
  return value > boundary(index + 1, scaleMax) ? index + 1 : index;
}

function add(buckets: Buckets, index: number, count: number): void {
  const { counts } = buckets;
  if (counts.length === 0) buckets.offset = index;
  while (index < buckets.offset) {
    counts.unshift(0);
    buckets.offset -= 1;
  }
  while (index >= buckets.offset + counts.length) counts.push(0);
  const place = index - buckets.offset;
  counts[place] = (counts[place] ?? 0) + count;
}

/** By how much the scale must sink so that the buckets from `low` to `high` fit beside those that are there. */
function excessOf(buckets: Buckets, low: number, high: number): number {
  const isEmpty = buckets.counts.length === 0;
  let first = isEmpty ? low : Math.min(low, buckets.offset);
  let last = isEmpty ? high : Math.max(high, buckets.offset + buckets.counts.length - 1);
  let excess = 0;
  while (last - first >= bucketsMax) {
    first >>= 1;
    last >>= 1;
    excess += 1;
  }
  return excess;
}

const rangeExcess = (one: Buckets, other: Buckets): number =>
  other.counts.length === 0 ? 0 : excessOf(one, other.offset, other.offset + other.counts.length - 1);

function halved(buckets: Buckets, steps: number): Buckets {
  const lowered: Buckets = { offset: 0, counts: [] };
  for (const [index, count] of buckets.counts.entries())
    if (count > 0) add(lowered, (buckets.offset + index) >> steps, count);
  return lowered;
}
