import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { expect, test } from 'vitest';
import { readJsonSets } from '#services/cache-node/json-sets.ts';
import { KeptValue } from '#services/cache-node/kept-value.ts';
import { decodeBody } from '#services/cache-node/request-body.ts';
import { type Encoding, decode, encode, json, msgpack } from '#shared/protocol/encoding.ts';

// The MessagePack library renames members called `__proto__`, so that no message reaches a prototype.
const plainValue = fc
  .jsonValue()
  .map((value) => JSON.stringify(value))
  .filter((text) => !text.includes('__proto__'))
  .map((text) => JSON.parse(text) as unknown);
// `value` and `items` in wrong places, too: only the one that the request means is kept.
const set = fc.dictionary(fc.constantFrom('key', 'value', 'items', 'ttl', 'a"b\\', 'ü'), plainValue);

/** The body with every kept value decoded again. */
function unkept(body: unknown): unknown {
  if (Array.isArray(body)) return body.map(unkept);
  if (!(body instanceof KeptValue)) {
    if (typeof body !== 'object' || body === null) return body;
    return Object.fromEntries(Object.entries(body).map(([name, value]) => [name, unkept(value)]));
  }
  const { bytes, encoding } = body.stored;
  const decoded = decode(bytes, encoding);
  return decoded.ok ? decoded.value : decoded;
}

test.each<[Encoding]>([[json], [msgpack]])(
  'in %s the values of sets are kept, and are what they were',
  (encoding) => {
    fc.assert(
      fc.property(set, (body) => {
        const read = decodeBody(encode(body, encoding), encoding, 'set');
        expect(read.ok && unkept(read.value)).toEqual(body);
        const kept = read.ok ? (read.value as { value?: unknown }).value : undefined;
        expect(kept instanceof KeptValue).toBe(Object.hasOwn(body, 'value'));
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(set, plainValue), { maxLength: 20 }), plainValue, (items, other) => {
        const body = { value: other, items, last: other };
        const read = decodeBody(encode(body, encoding), encoding, 'set-many');
        expect(read.ok && unkept(read.value)).toEqual(body);
      }),
    );
  },
);

/** With the bytes of every kept value as text, whatever kind of array they are. */
const asTexts = (read: unknown): unknown =>
  JSON.parse(
    JSON.stringify(read, (_, value: unknown) =>
      value instanceof KeptValue ? { kept: Buffer.from(value.stored.bytes).toString() } : value,
    ),
  );

const aSet = fc.record(
  {
    key: fc.string({ unit: 'binary' }),
    value: plainValue,
    ttl: fc.oneof(fc.nat(), fc.string()),
    tags: plainValue,
  },
  { requiredKeys: ['key', 'value'] },
);

test('what is read in one go is what the decoder and a walk over it find, whatever is cut, doubled or changed', () => {
  // A byte order mark is unusual enough to be left to the decoder.
  const slowly = (text: string, operation: string) =>
    decodeBody(Buffer.from(`\ufeff${text}`), json, operation);
  const anyText = fc
    .tuple(fc.oneof(aSet, fc.record({ items: fc.array(aSet, { minLength: 1, maxLength: 5 }) })), fc.nat(3))
    .map(([body, indent]) => JSON.stringify(body, undefined, indent));
  const changedText = fc
    .tuple(
      anyText,
      fc.nat(200),
      fc.nat(200),
      fc.constantFrom('', '"', '}', ',', '"key":1,', '\\', '\u0001', '1e5'),
    )
    .map(([text, at, end, put]) => text.slice(0, at) + put + text.slice(Math.max(at, end)))
    // No body at all is one thing, a mark alone another.
    .filter((text) => text !== '');
  for (const operation of ['set', 'set-many'] as const) {
    let quick = 0;
    fc.assert(
      fc.property(fc.oneof(anyText, changedText), (text) => {
        if (readJsonSets(Buffer.from(text), operation) !== undefined) quick += 1;
        expect(asTexts(decodeBody(Buffer.from(text), json, operation))).toEqual(
          asTexts(slowly(text, operation)),
        );
      }),
      { numRuns: 500 },
    );
    expect(quick).toBeGreaterThan(50);
  }
});

test('JSON is read with blanks, escaped names, byte order mark and doubled names', () => {
  const text = '\ufeff { "key" : "a" , "value" : 1 , "\\u0076alue" :\n [ "}" , {"x" : "\\"]"} ]\t} ';
  const read = decodeBody(Buffer.from(text), json, 'set');
  expect(read).toMatchObject({ ok: true, value: { key: 'a' } });
  expect(read.ok && Buffer.from((read.value as { value: KeptValue }).value.stored.bytes).toString()).toBe(
    '[ "}" , {"x" : "\\"]"} ]',
  );
});

test('every form of MessagePack is walked over', () => {
  const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true });
  const long = (length: number) => 'x'.repeat(length);
  const value = {
    strings: [long(0), long(31), long(32), long(256), long(70_000)],
    bytes: [0, 255, 256, 70_000].map((length) => new Uint8Array(length)),
    numbers: [
      0,
      127,
      128,
      255,
      256,
      65_535,
      65_536,
      2 ** 32,
      -1,
      -32,
      -33,
      -129,
      -32_769,
      -(2 ** 40),
      1.5,
      2n ** 60n,
    ],
    others: [null, true, false, new Date(0), new Date(1.5), new Date(10 ** 15)],
    lists: [[], Array.from({ length: 16 }, () => 1), Array.from({ length: 70_000 }, () => 1)],
    map: Object.fromEntries(Array.from({ length: 70_000 }, (_, n) => [`k${n}`, n])),
  };
  const read = decodeBody(packr.pack({ key: 'a', value, sliding: true }), msgpack, 'set');
  expect(read).toMatchObject({ ok: true, value: { key: 'a', sliding: true } });
  const kept = read.ok ? (read.value as { value: KeptValue }).value.stored.bytes : '';
  expect(Buffer.from(kept).equals(packr.pack(value))).toBe(true);
});

test('bytes that are no message are a refusal, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom('set', 'set-many'), (bytes, operation) => {
      for (const encoding of [json, msgpack]) {
        const read = decodeBody(bytes, encoding, operation);
        if (!read.ok) expect(read.error.code).toBe('invalid_request');
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a message that was cut off anywhere is a refusal', () => {
  const whole = encode({ items: [{ key: 'a', value: { n: [1, 'text'] } }] }, msgpack);
  for (let length = 1; length < whole.length; length += 1)
    expect(decodeBody(whole.subarray(0, length), msgpack, 'set-many')).toMatchObject({ ok: false });
});
