import { explicitOf } from './distribution.ts';
import { type Histogram, merged } from './histogram.ts';
import type { Labels, Series } from './series.ts';

/** The content type of the text below. */
export const prometheusContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** A value that is not of the records' making: a figure of the collector itself. */
export interface PlainMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly points: readonly { readonly labels: Labels; readonly value: number }[];
}

type Point = { readonly labels: string; readonly value: number | Histogram };

interface Family {
  readonly help: string;
  readonly type: Series['type'];
  readonly points: Map<string, Point>;
}

/**
 * Prometheus's text format, 0.0.4. Names and labels are made fit by OpenTelemetry's rules (Prometheus
 * compatibility): other characters become `_`, counters end in `_total`, the source is the label `job`. Series that
 * become the same that way are added up, since Prometheus refuses a scrape with doubles.
 */
export function prometheusText(series: Iterable<Series>, own: readonly PlainMetric[]): string {
  const families = new Map<string, Family>();
  for (const metric of own) addOwn(families, metric);
  for (const one of series) addSeries(families, one);
  return [...families].map(([name, family]) => familyText(name, family)).join('');
}

function addOwn(families: Map<string, Family>, metric: PlainMetric): void {
  const points = new Map<string, Point>();
  for (const { labels, value } of metric.points) {
    const text = labelText(labels);
    points.set(text, { labels: text, value });
  }
  families.set(metric.name, { help: metric.help, type: metric.type, points });
}

function addSeries(families: Map<string, Family>, series: Series): void {
  const name = familyName(series);
  const family = families.get(name) ?? { help: series.name, type: series.type, points: new Map() };
  // Two names that are one to Prometheus, with different types: it can be told of the first alone.
  if (family.type !== series.type) return;
  families.set(name, family);
  const labels = labelText([['job', series.source], ...series.labels]);
  const known = family.points.get(labels);
  family.points.set(labels, { labels, value: added(known?.value, series) });
}

function added(known: number | Histogram | undefined, series: Series): number | Histogram {
  if (series.type === 'counter') return series.total + (typeof known === 'number' ? known : 0);
  if (series.type === 'gauge') return series.value;
  const histogram = explicitOf(series);
  return typeof known === 'object' ? merged(known, histogram) : histogram;
}

function familyName(series: Series): string {
  const name = series.name.replaceAll(/[^a-zA-Z0-9_:]/g, '_').replace(/^(?=[0-9])/, '_');
  return series.type === 'counter' && !name.endsWith('_total') ? `${name}_total` : name;
}

function familyText(name: string, family: Family): string {
  const help = family.help.replaceAll('\\', '\\\\').replaceAll(/[\r\n]+/g, ' ');
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${family.type}`];
  for (const { labels, value } of family.points.values()) {
    if (typeof value === 'number') lines.push(`${name}${braced(labels)} ${numberText(value)}`);
    else lines.push(...histogramLines(name, labels, value));
  }
  return `${lines.join('\n')}\n`;
}

function histogramLines(name: string, labels: string, histogram: Histogram): readonly string[] {
  let cumulative = 0;
  const separator = labels === '' ? '' : ',';
  const buckets = histogram.counts.map((count, index) => {
    cumulative += count;
    const bound = histogram.bounds[index];
    const le = bound === undefined ? '+Inf' : numberText(bound);
    return `${name}_bucket{${labels}${separator}le="${le}"} ${cumulative}`;
  });
  return [
    ...buckets,
    `${name}_sum${braced(labels)} ${numberText(histogram.sum)}`,
    `${name}_count${braced(labels)} ${histogram.count}`,
  ];
}

const braced = (labels: string): string => (labels === '' ? '' : `{${labels}}`);

/** Labels of one series; values of names that become one are joined by `;`, as OpenTelemetry says. */
function labelText(labels: Labels): string {
  const values = new Map<string, string>();
  for (const [given, value] of labels) {
    const name = given.replaceAll(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=[0-9])|^__/, '_');
    const known = values.get(name);
    values.set(name, known === undefined ? value : `${known};${value}`);
  }
  // `le` belongs to the buckets.
  return [...values].map(([name, value]) => `${name === 'le' ? '_le' : name}="${escaped(value)}"`).join(',');
}

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

const numberText = (value: number): string => {
  if (Number.isFinite(value)) return String(value);
  return value > 0 ? '+Inf' : '-Inf';
};
