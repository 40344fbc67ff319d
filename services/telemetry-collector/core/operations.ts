import { type Histogram, merged, percentile } from './histogram.ts';
import { operationCount, operationDuration } from './interpret.ts';
import type { Series } from './series.ts';

/** How one operation fares, over all its sources and tags. */
export interface OperationFigures {
  readonly operation: string;
  readonly count: number;
  /** Successes / count, in [0, 1]. */
  readonly successRate: number;
  readonly durationMs: {
    readonly min: number;
    readonly mean: number;
    readonly p50: number;
    readonly p95: number;
    readonly p99: number;
    readonly max: number;
  };
}

export interface OperationFilter {
  readonly operation?: string | undefined;
  readonly source?: string | undefined;
}

/** Figures by operation, the busiest first, read from the series that performance records make. */
export function operationFigures(
  series: Iterable<Series>,
  filter: OperationFilter,
): readonly OperationFigures[] {
  const durations = new Map<string, Histogram>();
  const successes = new Map<string, number>();
  for (const one of series) {
    const operation = labelOf(one, 'operation');
    if (operation === undefined || !isWanted(one, operation, filter)) continue;
    if (one.type === 'histogram' && one.name === operationDuration) {
      const known = durations.get(operation);
      durations.set(operation, known === undefined ? one.histogram : merged(known, one.histogram));
    } else if (one.type === 'counter' && one.name === operationCount && labelOf(one, 'success') === 'true') {
      successes.set(operation, (successes.get(operation) ?? 0) + one.total);
    }
  }
  return [...durations]
    .map(([operation, histogram]) => figuresOf(operation, histogram, successes.get(operation) ?? 0))
    .sort((one, other) => other.count - one.count);
}

const labelOf = (series: Series, name: string): string | undefined =>
  series.labels.find(([known]) => known === name)?.[1];

const isWanted = (series: Series, operation: string, filter: OperationFilter): boolean =>
  (filter.operation === undefined || filter.operation === operation) &&
  (filter.source === undefined || filter.source === series.source);

function figuresOf(operation: string, histogram: Histogram, successes: number): OperationFigures {
  const { count, sum, min, max } = histogram;
  const at = (share: number): number => percentile(histogram, share) ?? 0;
  return {
    operation,
    count,
    successRate: count === 0 ? 0 : successes / count,
    durationMs: {
      min: count === 0 ? 0 : min,
      mean: count === 0 ? 0 : sum / count,
      p50: at(0.5),
      p95: at(0.95),
      p99: at(0.99),
      max: count === 0 ? 0 : max,
    },
  };
}
