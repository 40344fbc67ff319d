import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode, encode, json, msgpack } from '#shared/protocol/encoding.ts';
import { richValue } from '#shared/protocol/rich-values.ts';

const packed = (value: unknown): unknown => {
  const decoded = decode(encode(richValue(value), msgpack), msgpack);
  if (!decoded.ok) throw new Error(decoded.error.message);
  return decoded.value;
};

test('maps, sets, dates, bytes and integers of any size come back from MessagePack as they were', () => {
  const value = {
    map: new Map<unknown, unknown>([
      ['text', 1],
      [2, new Map([['deep', new Set([1n])]])],
    ]),
    set: new Set<unknown>([1, 'two', new Map()]),
    date: new Date('2026-01-31T12:00:00.123Z'),
    integers: [2n ** 62n, -(2n ** 63n), 2n ** 64n, -(2n ** 200n)],
    plain: { list: [1.5, null, true, 'ü'], none: {} },
  };
  expect(packed(value)).toEqual(value);
  const bytes = packed(new Map([['bytes', new Uint8Array([0, 255])]])) as Map<string, Uint8Array>;
  expect([...(bytes.get('bytes') ?? [])]).toEqual([0, 255]);
});

test('any value of JavaScript that can be sent at all comes back, in maps and sets, too', () => {
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.bigInt({ min: 2n ** 53n + 1n, max: 2n ** 80n }),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map((pairs) => new Map(pairs)),
      fc.array(tie('value'), { maxLength: 3 }).map((items) => new Set(items)),
      fc.dictionary(
        fc.string().filter((name) => name !== '__proto__'),
        tie('value'),
        { maxKeys: 3 },
      ),
    ),
  }));
  fc.assert(
    fc.property(value, (any) => {
      expect(packed(any)).toEqual(any);
    }),
  );
});

test('a value without them is the same value, not a copy', () => {
  const value = { list: [1, { a: 'b' }], date: new Date(0) };
  expect(richValue(value)).toBe(value);
});

test('in JSON maps are lists of pairs and sets are lists', () => {
  const value = { map: new Map([['a', 1]]), set: new Set([2, 3]) };
  expect(Buffer.from(encode(value, json)).toString()).toBe('{"map":[["a",1]],"set":[2,3]}');
});

test('an extension that does not hold what it must is a refusal', () => {
  expect(decode(Buffer.from([0xd4, 0x10, 0x01]), msgpack)).toMatchObject({ ok: false });
  expect(decode(Buffer.from([0xd4, 0x12, 0x78]), msgpack)).toMatchObject({ ok: false });
});

test('an array of numbers that are no bytes is refused: the encoder would write other numbers, and what lay behind', () => {
  for (const view of [new Float32Array([1.5]), new Uint16Array([1]), new DataView(new ArrayBuffer(2))])
    for (const value of [view, [view], { view }, new Map([['a', view]]), new Set([view])])
      expect(() => richValue(value)).toThrow(`it holds a ${view.constructor.name}`);
  expect([...(packed(new Uint8Array([1, 255])) as Uint8Array)]).toEqual([1, 255]);
});
