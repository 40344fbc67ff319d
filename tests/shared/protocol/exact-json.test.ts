import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode, decodeExactly, encode, json, jsonText, msgpack } from '#shared/protocol/encoding.ts';
import { parseExactly } from '#shared/protocol/exact-json.ts';
import { isTooDeep } from '#shared/protocol/nesting.ts';

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

test.each([
  '9007199254740993',
  '{"a":[1.10,-0,1e400,{"b":12345678901234567890}]}',
  '[0.1,100,-5,"1.10","9007199254740993",true,null]',
])('%s is written again as it was read', (text) => {
  expect(JSON.stringify(parseExactly(text))).toBe(text);
  const decoded = decodeExactly(bytes(text), json);
  expect(decoded.ok && jsonText(decoded.value)).toBe(text);
});

test('every value is read as JSON.parse reads it, where JavaScript can hold it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      expect(JSON.stringify(parseExactly(text))).toBe(text);
    }),
  );
});

test('what is no JSON is thrown back', () => {
  expect(() => parseExactly('{"a":9007199254740993')).toThrow(SyntaxError);
});

test('an integer beyond 64 bits is written as it was read, also within a map or a set', () => {
  const value = { a: 10n ** 29n, b: new Map([[1, -(10n ** 40n)]]), c: new Set([2n ** 70n]) };
  const decoded = decode(encode(value, msgpack), msgpack);
  expect(decoded).toEqual({ ok: true, value });
  expect(decoded.ok && decode(encode(decoded.value, msgpack), msgpack)).toEqual({ ok: true, value });
});

test.each([
  ['more than 4,096 digits', '9'.repeat(4_097)],
  ['hexadecimal digits', '0x12'],
  ['no digits', ''],
])('an integer extension with %s is refused', (_, digits) => {
  const body = Buffer.from(digits);
  const head = Buffer.from([0xc9, 0, 0, 0, 0, 0x12]);
  head.writeUInt32BE(body.length, 1);
  expect(decode(Buffer.concat([head, body]), msgpack)).toMatchObject({
    ok: false,
    error: { code: 'invalid_request', details: { field: 'body' } },
  });
});

test('sets and maps in each other count as levels', () => {
  let nested: unknown = 1;
  for (let level = 0; level < 20; level += 1)
    nested = level % 2 === 0 ? new Set([nested]) : new Map([[1, nested]]);
  expect(isTooDeep(nested, 20)).toBe(false);
  expect(isTooDeep(nested, 19)).toBe(true);
});
