import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Dequeue, List } from '#shared/protocol/queue-schemas.ts';
import { validator } from '#shared/protocol/validation.ts';
import { readQuery } from '#services/gateway/core/query-string.ts';

const read = (raw: Record<string, string | string[]>) => readQuery(Dequeue, raw);

test('a parameter that may be an integer and looks like one is a number', () => {
  expect(read({ max: '10', wait: '250', lease: '30s' })).toEqual({
    ok: true,
    value: { max: 10, wait: 250, lease: '30s' },
  });
});

test('a parameter that is text stays text, whatever it looks like', () => {
  expect(readQuery(List, { group: '42', limit: '42' })).toEqual({
    ok: true,
    value: { group: '42', limit: 42 },
  });
});

test.each(['1.5', '1e3', '0x10', ' 1', '', '١'])('%j is no integer, and the validator says so', (max) => {
  const values = read({ max });
  if (!values.ok) throw new Error('refused too early');
  expect(validator(Dequeue)(values.value)).toMatchObject({ ok: false, error: { details: { field: 'max' } } });
});

test('a parameter that is given twice is refused by name', () => {
  expect(read({ max: ['1', '2'] })).toMatchObject({
    ok: false,
    error: { code: 'invalid_request', details: { field: 'max' } },
  });
});

test('an unknown parameter is kept for the validator, which refuses it', () => {
  for (const name of ['colour', '__proto__', 'constructor']) {
    const values = read(Object.fromEntries([[name, 'x']]) as Record<string, string>);
    if (!values.ok) throw new Error('refused too early');
    const checked = validator(Dequeue)(values.value);
    expect(checked, name).toMatchObject({ ok: false, error: { details: { field: name } } });
  }
});

test('reading never throws, and keeps every parameter as its text or as the number that it writes', () => {
  const name = fc.oneof(fc.constantFrom('max', 'wait', 'lease', 'worker'), fc.string());
  const text = fc.oneof(fc.integer().map(String), fc.string());
  fc.assert(
    fc.property(fc.dictionary(name, text), (raw) => {
      const values = read(raw);
      if (!values.ok) throw new Error('nothing was given twice');
      expect(Object.keys(values.value).sort()).toEqual(Object.keys(raw).sort());
      for (const [key, value] of Object.entries(values.value)) {
        const given = raw[key] ?? '';
        if (typeof value === 'string') expect(value).toBe(given);
        else expect([value, /^-?[0-9]{1,15}$/.test(given)]).toEqual([Number(given), true]);
      }
    }),
  );
});
