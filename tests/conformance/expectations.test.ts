import { expect, test } from 'vitest';
import { absent, aCount, aText, aTime, expectEqual, expectLike } from './expectations.ts';

test.each([
  ['a missing field', {}, { a: 1 }, 'it.a'],
  ['another value', { a: { b: 1 } }, { a: { b: 2 } }, 'it.a.b'],
  ['a list that is longer', { a: [1, 2] }, { a: [1] }, 'it.a has 2 places'],
  ['another place of a list', [{ a: 1 }, { a: 2 }], [{ a: 1 }, { a: 1 }], 'it[1].a'],
  ['no list', { a: 1 }, { a: [] }, 'it.a is 1, not a list'],
  ['no object', { a: null }, { a: {} }, 'it.a is null, not an object'],
  ['a number for a text', { a: 1 }, { a: aText }, 'it.a is 1, not aText'],
  ['no time', { a: '2026-01-01' }, { a: aTime }, 'not aTime'],
  ['a fraction', { a: 0.5 }, { a: aCount }, 'not aCount'],
  ['a field too many', { a: 1 }, { a: absent }, 'not absent'],
])('%s is not as expected, and the place is named', (_, actual, expected, message) => {
  expect(() => expectLike(actual, expected)).toThrow(message);
});

test('what is not named does not matter to likeness, and does to equality', () => {
  expectLike({ a: 1, b: 2, c: ['x'] }, { a: 1, c: [aText] });
  expect(() => expectEqual({ a: 1, b: 2 }, { a: 1 }, 'the reply')).toThrow('the reply is {"a":1,"b":2}');
});
