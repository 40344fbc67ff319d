import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keptValue, shownValue, withExactValues } from '#services/queue-broker/kept-value.ts';
import { decode, encode, json, jsonText, msgpack } from '#shared/protocol/encoding.ts';
import { parseExactly } from '#shared/protocol/exact-json.ts';

const withoutNegativeZeros = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const bytes = (text: string) => new Uint8Array(Buffer.from(text));

test.each([
  '9007199254740993',
  '{"a":[1.10,-0,1e400,{"b":12345678901234567890}]}',
  '[0.1,"9007199254740993"]',
  `[${'12345678901234567890,'.repeat(10_000)}1]`,
])('a value in JSON is shown with every digit that it came with: %.60s', (text) => {
  const kept = keptValue(parseExactly(text));
  expect(jsonText(shownValue(kept, json))).toBe(text);
  expect(shownValue(kept, msgpack)).toEqual(JSON.parse(text));
});

test('any other value is kept as MessagePack, as it always was', () => {
  fc.assert(
    // What comes as JSON with a zero below zero comes as an exact number, and not as this.
    fc.property(fc.jsonValue().map(withoutNegativeZeros), (value) => {
      // The MessagePack library gives that name another one, so that no message reaches a prototype.
      fc.pre(!JSON.stringify(value).includes('__proto__'));
      const kept = keptValue(value);
      expect(kept).toEqual(encode(value, msgpack));
      expect(shownValue(kept, json)).toEqual(decode(kept, msgpack).ok ? value : undefined);
    }),
  );
  const rich = { at: new Date(7), of: new Set([1n << 70n]), raw: Uint8Array.of(1) };
  expect(shownValue(keptValue(rich), msgpack)).toEqual(rich);
});

test('bytes that only look like a kept text are shown as bytes, and nothing is thrown', () => {
  const head = Uint8Array.of(0xc9, 0, 0, 0, 1, 0x13);
  for (const kept of [head, Buffer.concat([head, bytes('{')]), Uint8Array.of(0xc9), new Uint8Array()])
    for (const encoding of [json, msgpack]) shownValue(kept, encoding);
});

test('results have every digit, and all else of a request is as JavaScript reads it', () => {
  const digits = '9007199254740993';
  const again = (operation: string, text: string) =>
    jsonText(withExactValues(operation, bytes(text), JSON.parse(text)));
  expect(again('complete', `{"id":"0-1","token":1.0,"result":${digits}}`)).toBe(
    `{"id":"0-1","token":1,"result":${digits}}`,
  );
  const escaped = String.raw`{"token":1.0,"resul\u0074":${digits}}`;
  expect(again('complete', escaped)).toBe(`{"token":1,"result":${digits}}`);
  expect(again('complete', `{"items":[{"token":1.0},7,{"token":2e0,"result":[${digits}]}]}`)).toBe(
    `{"items":[{"token":1},7,{"token":2,"result":[${digits}]}]}`,
  );
  expect(again('extend', `{"progress":${digits},"result":${digits}}`)).toBe(
    `{"progress":${digits},"result":9007199254740992}`,
  );
  for (const odd of ['7', 'null', '[]', `{"items":7,"result":1}`, `{"items":[null],"result":1}`])
    expect(again('complete', odd)).toBe(odd);
});
