import fc from 'fast-check';
import { expect, test } from 'vitest';
import { emptyHistogram, observe } from '#services/telemetry-collector/core/histogram.ts';
import { prometheusText } from '#services/telemetry-collector/core/prometheus-text.ts';
import { type MetricType, type Series, labelsOf } from '#services/telemetry-collector/core/series.ts';

const identity = { id: 1, source: 'shop', unit: '', startMs: 0, updatedMs: 0 };
const counter = (name: string, tags: Record<string, string>, total: number): Series => ({
  ...identity,
  name,
  labels: labelsOf(tags),
  type: 'counter',
  total,
});

test('a counter ends in _total once', () => {
  expect(prometheusText([counter('http.requests', { code: '200' }, 3)], [])).toBe(
    '# HELP http_requests_total http.requests\n# TYPE http_requests_total counter\n' +
      'http_requests_total{job="shop",code="200"} 3\n',
  );
  expect(prometheusText([counter('seen_total', {}, 1)], [])).toContain('seen_total{job="shop"} 1\n');
});

test('a histogram has cumulative buckets up to +Inf', () => {
  const histogram = emptyHistogram([1, 2]);
  for (const value of [0.5, 1.5, 3]) observe(histogram, value);
  const series: Series = { ...identity, name: 'size', labels: [], type: 'histogram', histogram };
  expect(prometheusText([series], [])).toContain(
    'size_bucket{job="shop",le="1"} 1\nsize_bucket{job="shop",le="2"} 2\nsize_bucket{job="shop",le="+Inf"} 3\n' +
      'size_sum{job="shop"} 5\nsize_count{job="shop"} 3\n',
  );
});

test('series that are one to Prometheus are added up', () => {
  const text = prometheusText([counter('a.b', { 'x.y': '1' }, 2), counter('a_b', { x_y: '1' }, 3)], []);
  expect(text).toContain('a_b_total{job="shop",x_y="1"} 5\n');
});

test('values of labels that become one name are joined', () => {
  expect(prometheusText([counter('a', { 'x.y': '1', x_y: '2' }, 1)], [])).toContain('x_y="1;2"');
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
      const lines = prometheusText(all, []).split('\n').slice(0, -1);
      const samples = lines.filter((line) => !line.startsWith('# '));
      for (const line of samples) expect(line).toMatch(sample);
      const keys = samples.map((line) => line.slice(0, line.lastIndexOf(' ')));
      expect(new Set(keys).size).toBe(keys.length);
      const types = lines.filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2]);
      expect(new Set(types).size).toBe(types.length);
    }),
  );
});
