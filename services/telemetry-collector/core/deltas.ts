import { type ExponentialHistogram, copyOfExponential, lower } from './exponential-histogram.ts';
import type { Histogram } from './histogram.ts';
import type { Series } from './series.ts';

/** What a destination has of one series: the sum of all deltas that were cut for it, and the end of the last one. */
export type Position = { readonly endMs: number } & (
  | { readonly type: 'counter'; readonly total: number }
  | { readonly type: 'gauge'; readonly value: number; readonly atMs: number }
  | { readonly type: 'histogram'; readonly histogram: Histogram }
  | { readonly type: 'exponential_histogram'; readonly histogram: ExponentialHistogram }
);

/** A point that carries a change alone, and where its destination is once it has it. */
export interface Cut {
  readonly point: Series;
  readonly position: Position;
}

/**
 * What has changed in a series since a destination's position; from the series' beginning where it has none.
 * Points follow each other without a gap or an overlap: each begins where the one before it ended, and is at least a
 * millisecond long, so that its times tell it from every other one. A gauge has no delta: it is its value.
 * @returns undefined where nothing has changed
 */
export function deltaOf(series: Series, position: Position | undefined): Cut | undefined {
  if (position === undefined) {
    const endMs = Math.max(series.updatedMs, series.startMs + 1);
    return { point: { ...series, updatedMs: endMs }, position: positionOf(series, endMs) };
  }
  const startMs = position.endMs;
  const endMs = Math.max(series.updatedMs, startMs + 1);
  const times = { startMs, updatedMs: endMs };
  if (series.type === 'counter' && position.type === 'counter') {
    if (series.total === position.total) return undefined;
    const change = series.total - position.total;
    // What a receiver that adds up has now: so the rounding of one delta is made up for by the next one.
    const total = position.total + change;
    return { point: { ...series, ...times, total: change }, position: { endMs, type: 'counter', total } };
  }
  if (series.type === 'gauge' && position.type === 'gauge') {
    if (series.value === position.value && series.atMs === position.atMs) return undefined;
    return { point: { ...series, ...times }, position: positionOf(series, endMs) };
  }
  if (series.type === 'histogram' && position.type === 'histogram') {
    if (series.histogram.count === position.histogram.count) return undefined;
    const histogram = explicitDelta(series.histogram, position.histogram);
    const sum = position.histogram.sum + histogram.sum;
    return {
      point: { ...series, ...times, histogram },
      position: { endMs, type: 'histogram', histogram: { ...series.histogram, sum } },
    };
  }
  if (series.type === 'exponential_histogram' && position.type === 'exponential_histogram') {
    if (series.histogram.count === position.histogram.count) return undefined;
    const histogram = exponentialDelta(series.histogram, position.histogram);
    const sum = position.histogram.sum + histogram.sum;
    return {
      point: { ...series, ...times, histogram },
      position: { endMs, type: 'exponential_histogram', histogram: { ...series.histogram, sum } },
    };
  }
  // A series never changes its type: a position of another one is not of this series.
  throw new Error(`series ${series.id} is a ${series.type}, and its position a ${position.type}`);
}

function positionOf(series: Series, endMs: number): Position {
  switch (series.type) {
    case 'counter':
      return { endMs, type: series.type, total: series.total };
    case 'gauge':
      return { endMs, type: series.type, value: series.value, atMs: series.atMs };
    case 'histogram':
      return { endMs, type: series.type, histogram: series.histogram };
    case 'exponential_histogram':
      return { endMs, type: series.type, histogram: series.histogram };
  }
}

// The least and the greatest of what came in between are not known: infinite ones are left out where they are sent.
const unknownRange = { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };

const explicitDelta = (now: Histogram, before: Histogram): Histogram => ({
  bounds: now.bounds,
  counts: now.counts.map((count, index) => count - (before.counts[index] ?? 0)),
  count: now.count - before.count,
  sum: now.sum - before.sum,
  ...unknownRange,
});

/** Both at the scale of `now`: a scale only sinks, and then two buckets of before are exactly one of now. */
function exponentialDelta(now: ExponentialHistogram, before: ExponentialHistogram): ExponentialHistogram {
  const base = copyOfExponential(before);
  lower(base, now.scale);
  const side = (name: 'positive' | 'negative') => ({
    offset: now[name].offset,
    counts: now[name].counts.map(
      (count, index) => count - (base[name].counts[now[name].offset + index - base[name].offset] ?? 0),
    ),
  });
  return {
    scale: now.scale,
    count: now.count - before.count,
    sum: now.sum - before.sum,
    zeroCount: now.zeroCount - before.zeroCount,
    positive: side('positive'),
    negative: side('negative'),
    ...unknownRange,
  };
}
