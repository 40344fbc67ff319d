import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode, encode, json, msgpack } from '#shared/protocol/encoding.ts';
import { type Encoded, encodePart, encodedBytes, spliceList, spliceObject } from '#shared/protocol/splice.ts';

const bytesOf = (encoded: Encoded) => (typeof encoded === 'string' ? Buffer.from(encoded) : encoded);
// The MessagePack library renames members called `__proto__`, so that no message reaches a prototype.
const plainValue = fc
  .jsonValue()
  .map((value) => JSON.stringify(value))
  .filter((text) => !text.includes('__proto__'))
  .map((text) => JSON.parse(text) as unknown);

test.each([json, msgpack])('what is spliced in %s decodes as if it had been encoded whole', (encoding) => {
  fc.assert(
    fc.property(fc.array(plainValue, { maxLength: 40 }), plainValue, (items, other) => {
      const list = spliceList(
        items.map((item) => encodePart(item, encoding)),
        encoding,
      );
      const whole = spliceObject(
        [
          ['items', list],
          ['other', encodePart(other, encoding)],
        ],
        encoding,
      );
      const bytes = bytesOf(whole);
      expect(decode(bytes, encoding)).toEqual({ ok: true, value: { items, other } });
      expect(encodedBytes(whole)).toBe(bytes.length);
    }),
  );
});

test('a list of many thousands has its own head in MessagePack', () => {
  const list = spliceList(
    Array.from({ length: 70_000 }, () => encodePart(1, msgpack)),
    msgpack,
  );
  expect(decode(bytesOf(list), msgpack)).toMatchObject({ ok: true, value: { length: 70_000 } });
});

test('an object of many thousands of members survives both encodings', () => {
  const value = Object.fromEntries(Array.from({ length: 70_000 }, (_, n) => [`k${n}`, n]));
  for (const encoding of [json, msgpack])
    expect(decode(encode(value, encoding), encoding)).toEqual({ ok: true, value });
});

test('what JSON cannot carry becomes text, whatever kind of byte array it was', () => {
  const value = { a: Buffer.from('hi'), b: new Uint8Array([104, 105]), c: 2n ** 60n, d: new Date(0) };
  expect(decode(encode(value, json), json)).toEqual({
    ok: true,
    value: { a: 'aGk=', b: 'aGk=', c: '1152921504606846976', d: '1970-01-01T00:00:00.000Z' },
  });
});
