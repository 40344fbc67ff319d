import {
  type ExponentialHistogram,
  copyOfExponential,
  emptyExponential,
  observeExponential,
} from './exponential-histogram.ts';
import { type Histogram, defaultBounds, durationBounds, emptyHistogram, observe } from './histogram.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'exponential_histogram';

/** Attribute names with their values, in the order of their names. Values are text, as Prometheus has them. */
export type Labels = readonly (readonly [name: string, value: string])[];

/** One value for one series. */
export interface MetricUpdate {
  readonly source: string;
  readonly name: string;
  readonly type: MetricType;
  readonly unit: string;
  readonly labels: Labels;
  /** The labels that stay when there is no room for another series. */
  readonly overflowLabels: Labels;
  readonly value: number;
  readonly atMs: number;
}

interface Identity {
  /** Its number in the table; never given twice. */
  readonly id: number;
  readonly source: string;
  readonly name: string;
  readonly unit: string;
  readonly labels: Labels;
  /** When its counting began, epoch milliseconds. */
  startMs: number;
  /** When it last changed, as of the commit that says so: the end of its time wherever it is sent. */
  updatedMs: number;
}

/** Everything that was ever counted under one source, name, unit and set of labels. */
export type Series = Identity &
  (
    | { readonly type: 'counter'; total: number }
    | { readonly type: 'gauge'; value: number; atMs: number }
    | { readonly type: 'histogram'; readonly histogram: Histogram }
    | { readonly type: 'exponential_histogram'; readonly histogram: ExponentialHistogram }
  );

/** What one source has. */
interface SourceUse {
  series: number;
  overflow: number;
  /** Values without room of their own since this process began, by name. */
  readonly overflowed: Map<string, number>;
}

export interface SeriesLimits {
  /** Series of one source; what comes after shares one overflow series for each name. */
  readonly perSourceMax: number;
  /** Overflow series of one source: bounds an attack by names. */
  readonly overflowPerSourceMax: number;
  /** Sources: bounds an attack by sources. */
  readonly sourcesMax: number;
}

export const defaultLimits: SeriesLimits = {
  perSourceMax: 2_000,
  overflowPerSourceMax: 200,
  sourcesMax: 200,
};

/** Why an update found no series. */
export type Rejection = 'series_limit' | 'type_conflict';

/** OpenTelemetry's mark on the series that takes what had no room (Metrics SDK, "Cardinality limits"). */
export const overflowLabel = ['otel.metric.overflow', 'true'] as const;

/** The labels of a metric's tags. */
export function labelsOf(tags: Readonly<Record<string, string | number | boolean>> | undefined): Labels {
  if (tags === undefined) return [];
  return Object.entries(tags)
    .map(([name, value]) => [name.toWellFormed(), String(value).toWellFormed()] as const)
    .sort(byName);
}

const byName = (one: readonly [string, string], other: readonly [string, string]): number =>
  one[0] < other[0] ? -1 : Number(one[0] > other[0]);

/**
 * All series of one collector. Totals are kept whatever happens to their series: a value without room of its own
 * goes to the overflow series of its name, so that sums over a name stay right.
 */
export class SeriesTable {
  readonly #limits: SeriesLimits;
  readonly #byKey = new Map<string, Series>();
  readonly #bySource = new Map<string, SourceUse>();
  /** A name has one type in all sources, since Prometheus allows it only one. */
  readonly #types = new Map<string, MetricType>();
  #nextId = 1;

  constructor(limits: SeriesLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get sources(): number {
    return this.#bySource.size;
  }

  all(): Iterable<Series> {
    return this.#byKey.values();
  }

  /** Takes back a series as it was stored, whatever the limits say now. */
  restore(series: Series): void {
    this.#keep(keyOf(series, series.labels), series);
    this.#nextId = Math.max(this.#nextId, series.id + 1);
  }

  /** The series that `update` belongs to, where there is one already. */
  find(update: MetricUpdate): Series | undefined {
    return (
      this.#byKey.get(keyOf(update, update.labels)) ?? this.#byKey.get(keyOf(update, overflowLabels(update)))
    );
  }

  /**
   * Counts the values of one record: all of them, or none.
   * @returns the series that have changed, or why a value found none; then nothing was counted
   */
  apply(updates: readonly MetricUpdate[]): readonly Series[] | Rejection {
    const changed: Series[] = [];
    for (const update of updates) {
      const series = this.#open(update);
      if (typeof series === 'string') return series;
      changed.push(series);
    }
    for (const [index, update] of updates.entries()) {
      const series = changed[index];
      if (series !== undefined) count(series, update.value, update.atMs);
    }
    return changed;
  }

  /** Sources that have had no room for a series of their own since this process began, and what asked for it. */
  uses(): ReadonlyMap<string, Readonly<SourceUse>> {
    return this.#bySource;
  }

  #open(update: MetricUpdate): Series | Rejection {
    const known = this.#byKey.get(keyOf(update, update.labels));
    if (known !== undefined) return known;
    if ((this.#types.get(update.name) ?? update.type) !== update.type) return 'type_conflict';
    const used = this.#bySource.get(update.source);
    if (used === undefined && this.#bySource.size >= this.#limits.sourcesMax) return 'series_limit';
    if ((used?.series ?? 0) < this.#limits.perSourceMax) return this.#make(update, update.labels);
    const labels = overflowLabels(update);
    const overflow = this.#byKey.get(keyOf(update, labels));
    if (overflow === undefined && (used?.overflow ?? 0) >= this.#limits.overflowPerSourceMax)
      return 'series_limit';
    if (used !== undefined) used.overflowed.set(update.name, (used.overflowed.get(update.name) ?? 0) + 1);
    return overflow ?? this.#make(update, labels);
  }

  #make(update: MetricUpdate, labels: Labels): Series {
    const series = emptySeries(this.#nextId, update, labels);
    this.#nextId += 1;
    this.#keep(keyOf(update, labels), series);
    return series;
  }

  #keep(key: string, series: Series): void {
    this.#byKey.set(key, series);
    this.#types.set(series.name, series.type);
    const used = this.#bySource.get(series.source) ?? { series: 0, overflow: 0, overflowed: new Map() };
    if (isOverflow(series)) used.overflow += 1;
    else used.series += 1;
    this.#bySource.set(series.source, used);
  }
}

export const isOverflow = (series: Pick<Series, 'labels'>): boolean =>
  series.labels.some(([name]) => name === overflowLabel[0]);

const overflowLabels = (update: MetricUpdate): Labels =>
  [...update.overflowLabels, overflowLabel].sort(byName);

function emptySeries(id: number, update: MetricUpdate, labels: Labels): Series {
  const { source, name, unit, type, atMs } = update;
  const identity = { id, source, name, unit, labels, startMs: atMs, updatedMs: 0 };
  switch (type) {
    case 'counter':
      return { ...identity, type, total: 0 };
    case 'gauge':
      return { ...identity, type, value: 0, atMs: 0 };
    case 'histogram':
      return { ...identity, type, histogram: emptyHistogram(unit === 'ms' ? durationBounds : defaultBounds) };
    case 'exponential_histogram':
      return { ...identity, type, histogram: emptyExponential() };
  }
}

/** Counts one finite value; for a counter it must not be negative. */
export function count(series: Series, value: number, atMs: number): void {
  switch (series.type) {
    case 'counter':
      series.total += value;
      break;
    case 'gauge':
      // Messages may come again or out of order: the youngest value is the current one.
      if (atMs < series.atMs) break;
      series.value = value;
      series.atMs = atMs;
      break;
    case 'histogram':
      observe(series.histogram, value);
      break;
    case 'exponential_histogram':
      observeExponential(series.histogram, value);
      break;
  }
}

/** A copy that later values do not change. */
export function snapshotOf(series: Series): Series {
  if (series.type === 'histogram')
    return { ...series, histogram: { ...series.histogram, counts: [...series.histogram.counts] } };
  if (series.type === 'exponential_histogram')
    return { ...series, histogram: copyOfExponential(series.histogram) };
  return { ...series };
}

/** What a series is, the same in every collector that counts in it. */
export const seriesKey = (series: Series): string => keyOf(series, series.labels);

/** Injective, whatever characters names and values hold. */
const keyOf = (
  one: { readonly source: string; readonly name: string; readonly type: MetricType; readonly unit: string },
  labels: Labels,
): string => JSON.stringify([one.type, one.source, one.name, one.unit, labels]);
