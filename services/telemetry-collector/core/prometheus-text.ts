import { explicitOf } from './distribution.ts';
import { type Histogram, merged } from './histogram.ts';
import type { Labels, Series } from './series.ts';

/** The two formats that Prometheus reads; it says in `Accept` which it prefers. */
export type Exposition = 'text' | 'openmetrics';

export const contentTypes: Readonly<Record<Exposition, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** OpenMetrics where the reader takes it: only there are exemplars. */
export const expositionFor = (accept: string | undefined): Exposition =>
  /\bapplication\/openmetrics-text\b/.test(accept ?? '') ? 'openmetrics' : 'text';

/** A value that is not of the records' making: a figure of the collector itself. */
export interface PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly points: readonly { readonly labels: Labels; readonly value: number }[];
}

/** One value that was counted, and the span that it came from. */
export interface Exemplar {
  readonly value: number;
  readonly atMs: number;
  readonly traceId: string;
  readonly spanId: string;
}

/** What one collector has to show. */
export interface Exposed {
  /** A series is counted by one collector alone, and this label says by which. */
  readonly collector: string;
  readonly series: Iterable<Series>;
  /** The newest of each series by its id, where there is one. */
  readonly exemplars: ReadonlyMap<number, Exemplar>;
  readonly own: readonly PlainMetric[];
}

interface Point {
  readonly labels: string;
  readonly value: number | Histogram;
  readonly exemplar: Exemplar | undefined;
}

interface Family {
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly points: Map<string, Point>;
}

/**
 * What Prometheus reads: its text format 0.0.4, or OpenMetrics 1.0. Names and labels are made fit by OpenTelemetry's
 * rules (Prometheus compatibility): other characters become `_`, counters end in `_total`, the source is the label
 * `job`. Series that become the same that way are added up, since Prometheus refuses a scrape with doubles.
 */
export function prometheusText(exposed: readonly Exposed[], exposition: Exposition): string {
  const families = new Map<string, Family>();
  for (const { own } of exposed) for (const metric of own) addOwn(families, metric);
  for (const one of exposed) for (const series of one.series) addSeries(families, series, one);
  const taken = exposition === 'openmetrics' ? takenBy(families) : undefined;
  const text = [...families]
    .map(([name, family]) => familyText(headOf(name, family, taken), family, exposition))
    .join('');
  return exposition === 'openmetrics' ? `${text}# EOF\n` : text;
}

/** What a family's samples are called, what the family is, and what it is said to be. */
interface Head {
  readonly name: string;
  readonly title: string;
  readonly type: Family['type'] | 'unknown';
}

/**
 * OpenMetrics names the family of a counter without the ending that its samples have. Where another family has that
 * name, or a sample of it, a reader may refuse the scrape: there the counter has its name and no type.
 * @param taken names that no counter's family may have; undefined in the text format, which has no such rule
 */
function headOf(name: string, { type }: Family, taken: ReadonlySet<string> | undefined): Head {
  if (taken === undefined || type !== 'counter') return { name, title: name, type };
  const title = name.replace(/_total$/, '');
  return taken.has(title) ? { name, title: name, type: 'unknown' } : { name, title, type };
}

/** Names of families and samples that no counter's family may have. */
function takenBy(families: ReadonlyMap<string, Family>): ReadonlySet<string> {
  const taken = new Set<string>();
  for (const [name, { type }] of families) {
    if (type === 'counter') continue;
    taken.add(name);
    if (type === 'histogram')
      for (const ending of ['bucket', 'sum', 'count', 'created']) taken.add(`${name}_${ending}`);
  }
  return taken;
}

function addOwn(families: Map<string, Family>, metric: PlainMetric): void {
  const { name, help, type } = metric;
  const family = families.get(name) ?? { help, type, points: new Map<string, Point>() };
  families.set(name, family);
  for (const { labels, value } of metric.points) {
    const text = labelText(labels);
    family.points.set(text, { labels: text, value, exemplar: undefined });
  }
}

function addSeries(families: Map<string, Family>, series: Series, { collector, exemplars }: Exposed): void {
  const name = familyName(series);
  const type = series.type === 'exponential_histogram' ? 'histogram' : series.type;
  const family = families.get(name) ?? { help: series.name, type, points: new Map<string, Point>() };
  // Two names that are one to Prometheus, with different types: it can be told of the first alone.
  if (family.type !== type) return;
  families.set(name, family);
  const labels = labelText([['job', series.source], ...series.labels, ['collector', collector]]);
  const known = family.points.get(labels);
  const exemplar = exemplars.get(series.id) ?? known?.exemplar;
  family.points.set(labels, { labels, value: added(known?.value, series), exemplar });
}

function added(known: number | Histogram | undefined, series: Series): number | Histogram {
  if (series.type === 'counter') return series.total + (typeof known === 'number' ? known : 0);
  if (series.type === 'gauge') return series.value;
  const histogram = explicitOf(series);
  return typeof known === 'object' ? merged(known, histogram) : histogram;
}

/** What the samples of counters and histograms are called is not free for a gauge. */
const takenEnding = /_(total|sum|count|bucket|created|info)$/;

function familyName(series: Series): string {
  const name = series.name.replaceAll(/[^a-zA-Z0-9_:]/g, '_').replace(/^(?=[0-9])/, '_');
  if (series.type === 'counter') return name.endsWith('_total') ? name : `${name}_total`;
  return takenEnding.test(name) ? `${name}_value` : name;
}

function familyText({ name, title, type }: Head, family: Family, exposition: Exposition): string {
  const isOpen = exposition === 'openmetrics';
  const help = family.help.replaceAll('\\', '\\\\').replaceAll(/[\r\n]+/g, ' ');
  const lines = [`# HELP ${title} ${isOpen ? help.replaceAll('"', '\\"') : help}`, `# TYPE ${title} ${type}`];
  for (const { labels, value, exemplar } of family.points.values()) {
    const shown = isOpen && (type === 'counter' || type === 'histogram') ? exemplar : undefined;
    if (typeof value === 'number')
      lines.push(`${name}${braced(labels)} ${numberText(value)}${exemplarText(shown)}`);
    else lines.push(...histogramLines(name, labels, value, shown));
  }
  return `${lines.join('\n')}\n`;
}

function histogramLines(
  name: string,
  labels: string,
  histogram: Histogram,
  exemplar: Exemplar | undefined,
): readonly string[] {
  let cumulative = 0;
  let shown = exemplar;
  const separator = labels === '' ? '' : ',';
  const buckets = histogram.counts.map((count, index) => {
    cumulative += count;
    const bound = histogram.bounds[index];
    const le = bound === undefined ? '+Inf' : numberText(bound);
    const isIts = shown !== undefined && shown.value <= (bound ?? Number.POSITIVE_INFINITY);
    const text = exemplarText(isIts ? shown : undefined);
    if (isIts) shown = undefined;
    return `${name}_bucket{${labels}${separator}le="${le}"} ${cumulative}${text}`;
  });
  return [
    ...buckets,
    `${name}_sum${braced(labels)} ${numberText(histogram.sum)}`,
    `${name}_count${braced(labels)} ${histogram.count}`,
  ];
}

const exemplarText = (exemplar: Exemplar | undefined): string =>
  exemplar === undefined
    ? ''
    : ` # {trace_id="${exemplar.traceId}",span_id="${exemplar.spanId}"} ${numberText(exemplar.value)} ${exemplar.atMs / 1_000}`;

const braced = (labels: string): string => (labels === '' ? '' : `{${labels}}`);

/** Labels of one series; values of names that become one are joined by `;`, as OpenTelemetry says. */
function labelText(labels: Labels): string {
  const values = new Map<string, string>();
  for (const [given, value] of labels) {
    const fit = given.replaceAll(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=[0-9])|^__+/, '_');
    // `le` belongs to the buckets.
    const name = fit === 'le' ? '_le' : fit;
    const known = values.get(name);
    values.set(name, known === undefined ? value : `${known};${value}`);
  }
  return [...values].map(([name, value]) => `${name}="${escaped(value)}"`).join(',');
}

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

const numberText = (value: number): string => {
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
};
