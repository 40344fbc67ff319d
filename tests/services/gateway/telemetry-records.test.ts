import fc from 'fast-check';
import { expect, test } from 'vitest';
import { telemetryRecords } from '#shared/protocol/telemetry-records.ts';
import { validator } from '#shared/protocol/validation.ts';
import { sortRecords } from '#services/gateway/core/telemetry-records.ts';

const good = {
  metric: { type: 'metric', name: 'orders', value: 1, metric_type: 'counter', tags: { shop: 'a' } },
  event: { type: 'event', name: 'login', level: 'info' },
  performance: { type: 'performance', operation: 'checkout', durationMs: 12.5, success: true },
  error: { type: 'error', message: 'boom', error_type: 'TypeError' },
  log: { type: 'log', message: 'hello' },
} as const;

test('records are sorted by kind and lose their kind, and their own type comes back', () => {
  const { byKind, rejected } = sortRecords(Object.values(good));
  expect(rejected).toEqual([]);
  expect(byKind.get('metric')).toEqual([
    { index: 0, record: { name: 'orders', value: 1, type: 'counter', tags: { shop: 'a' } } },
  ]);
  expect(byKind.get('error')).toEqual([{ index: 3, record: { message: 'boom', type: 'TypeError' } }]);
});

test('what is sorted is what the collectors accept', () => {
  const { byKind } = sortRecords(Object.values(good));
  expect([...byKind.keys()]).toEqual(Object.keys(good));
  for (const [kind, sorted] of byKind) {
    for (const { record } of sorted)
      expect(validator(telemetryRecords[kind])(record)).toMatchObject({ ok: true });
  }
});

test('a bad record does not drop its neighbours, and is listed with its place and its fault', () => {
  const records = [
    good.log,
    { type: 'metric', name: 'x' },
    7,
    null,
    { type: 'span' },
    { ...good.event, colour: 1 },
  ];
  const { byKind, rejected } = sortRecords(records);
  expect(byKind.get('log')).toHaveLength(1);
  expect(rejected.map(({ index, error }) => [index, error.code, error.details?.['field']])).toEqual([
    [1, 'invalid_request', 'value'],
    [2, 'invalid_request', 'type'],
    [3, 'invalid_request', 'type'],
    [4, 'invalid_request', 'type'],
    [5, 'invalid_request', 'colour'],
  ]);
});

test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('%s is no kind of record', (type) => {
  expect(sortRecords([{ type, name: 'x' }]).rejected).toHaveLength(1);
});

test('every record is either sorted or rejected, once', () => {
  const record = fc.oneof(fc.constantFrom(...Object.values(good)), fc.jsonValue());
  fc.assert(
    fc.property(fc.array(record), (records) => {
      const { byKind, rejected } = sortRecords(records);
      const indexes = [...[...byKind.values()].flat(), ...rejected].map(({ index }) => index);
      expect(indexes.sort((a, b) => a - b)).toEqual(records.map((_, index) => index));
    }),
  );
});
