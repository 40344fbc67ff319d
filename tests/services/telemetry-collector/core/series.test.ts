import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type MetricUpdate,
  type Series,
  SeriesTable,
  isOverflow,
  labelsOf,
  snapshotOf,
} from '#services/telemetry-collector/core/series.ts';

const limits = { perSourceMax: 5, overflowPerSourceMax: 2, sourcesMax: 3 };

const update = (more: Partial<MetricUpdate> = {}): MetricUpdate => ({
  source: 'shop',
  name: 'orders',
  type: 'counter',
  unit: '',
  labels: [],
  overflowLabels: [],
  value: 1,
  atMs: 1_000,
  ...more,
});

const all = (table: SeriesTable): readonly Series[] => [...table.all()];
const totalOf = (table: SeriesTable): number =>
  all(table).reduce((sum, one) => sum + (one.type === 'counter' ? one.total : 0), 0);

test('the total over a name is what was counted, however many series there were', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(50), fc.nat(100))), (counts) => {
      const table = new SeriesTable(limits);
      for (const [id, value] of counts) table.apply([update({ labels: labelsOf({ id }), value })]);
      expect(totalOf(table)).toBe(counts.reduce((sum, [, value]) => sum + value, 0));
      expect(table.size).toBeLessThanOrEqual(limits.perSourceMax + 1);
    }),
  );
});

test('a source that opens too many series does not take room from another', () => {
  const table = new SeriesTable(limits);
  for (let id = 0; id < 100; id += 1) table.apply([update({ labels: labelsOf({ id }) })]);
  table.apply([update({ source: 'till', labels: labelsOf({ id: 1 }) })]);
  expect(all(table).find((one) => one.source === 'till')?.labels).toEqual([['id', '1']]);
});

test('names and sources without end are refused, and leave what is counted alone', () => {
  const table = new SeriesTable(limits);
  const rejections = Array.from({ length: 100 }, (_, id) => table.apply([update({ name: `name-${id}` })]));
  expect(rejections.filter((one) => one === 'series_limit')).toHaveLength(100 - 5 - 2);
  for (let id = 0; id < 10; id += 1) table.apply([update({ source: `source-${id}` })]);
  expect(table.sources).toBe(limits.sourcesMax);
});

test('the overflow series keeps the labels that it is asked to keep', () => {
  const table = new SeriesTable({ ...limits, perSourceMax: 1 });
  const own = { overflowLabels: labelsOf({ operation: 'a' }) };
  table.apply([update({ labels: labelsOf({ id: 1 }), ...own })]);
  table.apply([update({ labels: labelsOf({ id: 2 }), ...own })]);
  expect(all(table).filter(isOverflow)).toMatchObject([
    {
      labels: [
        ['operation', 'a'],
        ['otel.metric.overflow', 'true'],
      ],
      total: 1,
    },
  ]);
});

test('a name that is known with another type is refused', () => {
  const table = new SeriesTable(limits);
  table.apply([update()]);
  expect(table.apply([update({ type: 'gauge' })])).toBe('type_conflict');
  expect(totalOf(table)).toBe(1);
});

test('the values of one record are counted all or not at all', () => {
  const table = new SeriesTable(limits);
  table.apply([update({ name: 'taken', type: 'gauge' })]);
  expect(table.apply([update(), update({ name: 'taken' })])).toBe('type_conflict');
  expect(totalOf(table)).toBe(0);
});

test('a late value does not overwrite a younger one in a gauge', () => {
  const table = new SeriesTable(limits);
  table.apply([update({ type: 'gauge', value: 2, atMs: 2_000 })]);
  table.apply([update({ type: 'gauge', value: 1, atMs: 1_000 })]);
  expect(all(table)).toMatchObject([{ value: 2, atMs: 2_000 }]);
});

test('series are told apart whatever characters their labels hold', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.string()),
      fc.dictionary(fc.string(), fc.string()),
      (one, other) => {
        const table = new SeriesTable(limits);
        table.apply([update({ labels: labelsOf(one) })]);
        table.apply([update({ labels: labelsOf(other) })]);
        const same = JSON.stringify(labelsOf(one)) === JSON.stringify(labelsOf(other));
        expect(table.size).toBe(same ? 1 : 2);
      },
    ),
  );
});

test('the order of tags does not matter', () => {
  expect(labelsOf({ b: 1, a: true })).toEqual(labelsOf({ a: true, b: 1 }));
});

test('a table that was read back counts on where it was', () => {
  const before = new SeriesTable(limits);
  for (let id = 0; id < 4; id += 1) before.apply([update({ labels: labelsOf({ id }), value: id })]);
  const after = new SeriesTable(limits);
  for (const series of before.all()) after.restore(snapshotOf(series));
  for (let id = 0; id < 9; id += 1) after.apply([update({ labels: labelsOf({ id }) })]);
  expect(totalOf(after)).toBe(6 + 9);
  expect(new Set(all(after).map((one) => one.id)).size).toBe(after.size);
  expect(totalOf(before)).toBe(6);
});
