import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  emptyExponential,
  observeExponential,
} from '#services/telemetry-collector/core/exponential-histogram.ts';
import { emptyHistogram, observe } from '#services/telemetry-collector/core/histogram.ts';
import {
  type Exemplar,
  type PlainMetric,
  expositionFor,
  prometheusText,
} from '#services/telemetry-collector/core/prometheus-text.ts';
import { type MetricType, type Series, labelsOf } from '#services/telemetry-collector/core/series.ts';

const identity = { id: 1, source: 'shop', unit: '', startMs: 0, updatedMs: 0 };
const counter = (name: string, tags: Record<string, string>, total: number): Series => ({
  ...identity,
  name,
  labels: labelsOf(tags),
  type: 'counter',
  total,
});

const exposed = (series: readonly Series[], exemplars = new Map<number, Exemplar>()) => [
  { collector: 'c1', series, exemplars, own: [] as readonly PlainMetric[] },
];
const textOf = (series: readonly Series[]): string => prometheusText(exposed(series), 'text');

test('a counter ends in _total once', () => {
  expect(textOf([counter('http.requests', { code: '200' }, 3)])).toBe(
    '# HELP http_requests_total http.requests\n# TYPE http_requests_total counter\n' +
      'http_requests_total{job="shop",code="200",collector="c1"} 3\n',
  );
  expect(textOf([counter('seen_total', {}, 1)])).toContain('seen_total{job="shop",collector="c1"} 1\n');
});

test('no two families have one name in OpenMetrics, and every sample keeps its own', () => {
  const gauge: Series = { ...identity, name: 'orders', labels: [], type: 'gauge', value: 2, atMs: 0 };
  const histogram: Series = {
    ...identity,
    name: 'size',
    labels: [],
    type: 'histogram',
    histogram: emptyHistogram([1]),
  };
  const names = ['orders', 'size_count', 'seen'];
  const all = [gauge, histogram, ...names.map((name) => counter(`${name}_total`, {}, 3))];
  const exemplar = { value: 1, atMs: 1_000, traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
  const text = prometheusText(exposed(all, new Map([[1, exemplar]])), 'openmetrics');
  expect(text.match(/(?<=# TYPE )\S+ \S+/g)).toEqual([
    'orders gauge',
    'size histogram',
    'orders_total unknown',
    'size_count_total unknown',
    'seen counter',
  ]);
  // Only counters and buckets may have an exemplar.
  expect(text).toContain('\norders_total{job="shop",collector="c1"} 3\n');
  expect(text).toContain('\nseen_total{job="shop",collector="c1"} 3 # {trace_id="');
});

test('a histogram has cumulative buckets up to +Inf', () => {
  const histogram = emptyHistogram([1, 2]);
  for (const value of [0.5, 1.5, 3]) observe(histogram, value);
  const series: Series = { ...identity, name: 'size', labels: [], type: 'histogram', histogram };
  expect(textOf([series])).toContain(
    'size_bucket{job="shop",collector="c1",le="1"} 1\nsize_bucket{job="shop",collector="c1",le="2"} 2\nsize_bucket{job="shop",collector="c1",le="+Inf"} 3\n' +
      'size_sum{job="shop",collector="c1"} 5\nsize_count{job="shop",collector="c1"} 3\n',
  );
});

test('series that are one to Prometheus are added up', () => {
  const text = textOf([counter('a.b', { 'x.y': '1' }, 2), counter('a_b', { x_y: '1' }, 3)]);
  expect(text).toContain('a_b_total{job="shop",x_y="1",collector="c1"} 5\n');
});

test('values of labels that become one name are joined', () => {
  expect(textOf([counter('a', { 'x.y': '1', x_y: '2' }, 1)])).toContain('x_y="1;2"');
});

const series = fc.record({
  name: fc.string({ minLength: 1 }),
  tags: fc.dictionary(fc.string({ minLength: 1 }), fc.string()),
  type: fc.constantFrom<MetricType>('counter', 'gauge'),
  value: fc.double({ noNaN: true }),
});

test('whatever names and tags hold, every line is well formed and no series comes twice', () => {
  const sample =
    /^[a-zA-Z_:][a-zA-Z0-9_:]*\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*")*\} \S+$/;
  fc.assert(
    fc.property(fc.array(series), (given) => {
      const all = given.map(({ name, tags, type, value }): Series => {
        const common = { ...identity, name, labels: labelsOf(tags) };
        return type === 'gauge'
          ? { ...common, type, value, atMs: 0 }
          : { ...common, type: 'counter', total: value };
      });
      const lines = textOf(all).split('\n').slice(0, -1);
      const samples = lines.filter((line) => !line.startsWith('# '));
      for (const line of samples) expect(line).toMatch(sample);
      const keys = samples.map((line) => line.slice(0, line.lastIndexOf(' ')));
      expect(new Set(keys).size).toBe(keys.length);
      const types = lines.filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2]);
      expect(new Set(types).size).toBe(types.length);
    }),
  );
});

test('OpenMetrics names a counter without its ending, shows where a value came from, and says where it ends', () => {
  const histogram = emptyHistogram([1, 2]);
  for (const value of [0.5, 1.5, 3]) observe(histogram, value);
  const series: readonly Series[] = [
    counter('seen', {}, 1),
    { ...identity, id: 2, name: 'size', labels: [], type: 'histogram', histogram },
  ];
  const exemplar = { value: 1.5, atMs: 1_500, traceId: 'ab', spanId: 'cd' };
  const exemplars = new Map([
    [1, exemplar],
    [2, exemplar],
  ]);
  const text = prometheusText(exposed(series, exemplars), 'openmetrics');
  expect(text).toContain(
    '# TYPE seen counter\nseen_total{job="shop",collector="c1"} 1 # {trace_id="ab",span_id="cd"} 1.5 1.5\n',
  );
  expect(
    text.split('\n').filter((line) => line.startsWith('size_bucket') && line.includes('trace_id')),
  ).toEqual(['size_bucket{job="shop",collector="c1",le="2"} 2 # {trace_id="ab",span_id="cd"} 1.5 1.5']);
  expect(text.endsWith('# EOF\n')).toBe(true);
  expect(prometheusText(exposed(series, exemplars), 'text')).not.toContain('trace_id');
});

test('a gauge does not take the names of the samples of others', () => {
  const gauge: Series = { ...identity, name: 'size_count', labels: [], type: 'gauge', value: 1, atMs: 0 };
  expect(textOf([gauge])).toContain('size_count_value{');
});

test('the same series of two collectors are two, and the label says whose they are', () => {
  const [first] = exposed([counter('seen', {}, 1)]);
  const text = prometheusText(
    [...exposed([counter('seen', {}, 2)]), { ...first, collector: 'c2' } as never],
    'text',
  );
  expect(text).toContain(
    'seen_total{job="shop",collector="c1"} 2\nseen_total{job="shop",collector="c2"} 1\n',
  );
});

test('OpenMetrics is for those who take it', () => {
  expect(expositionFor('application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3')).toBe(
    'openmetrics',
  );
  expect(expositionFor('text/plain')).toBe('text');
  expect(expositionFor(undefined)).toBe('text');
});

test.each([
  ['the place of another name', { le: '1', _le: '2' }, '_le="2;1"'],
  ['the name of the metric', { ___name__: 'other' }, '_name__="other"'],
  ['a name of Prometheus itself', { '..tmp': '1' }, '_tmp="1"'],
])('a tag does not take %s', (_what, tags: Record<string, string>, label) => {
  expect(textOf([counter('a', tags, 1)])).toContain(`{job="shop",${label},collector="c1"} 1`);
});

test('the greatest numbers are in one bucket without an end', () => {
  const histogram = emptyExponential();
  for (const value of [1, Number.MAX_VALUE]) observeExponential(histogram, value);
  const series: Series = { ...identity, name: 'size', labels: [], type: 'exponential_histogram', histogram };
  const ends = textOf([series]).match(/le="[^"]+"\} \d/g);
  expect(ends?.filter((end) => end.includes('Inf'))).toEqual(['le="+Inf"} 2']);
});
