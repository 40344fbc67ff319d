import fc from 'fast-check';
import { expect, test } from 'vitest';
import { json } from '#shared/protocol/encoding.ts';
import { batchItemsMax } from '#shared/protocol/limits.ts';
import { type Owners, ownerHeader } from '#shared/protocol/owner.ts';
import { readJsonItems } from '#services/queue-broker/json-items.ts';
import { JsonScanner } from '#shared/protocol/json-scanner.ts';
import { readEnqueueMany, readPlainEnqueueMany } from '#services/queue-broker/queue-requests.ts';

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

function isScanned(text: string): boolean {
  const scanner = new JsonScanner(bytes(text));
  return scanner.value() >= 0 && scanner.isAtEnd;
}

function isParsed(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const spacing = fc.constantFrom(undefined, 1, '\t', ' \r\n');

test('the scanner passes every value that JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 20 }), spacing, (value, space) => {
      expect(isScanned(` ${JSON.stringify(value, null, space)} `)).toBe(true);
    }),
  );
});

test('the scanner takes a changed text for JSON exactly when JSON.parse does', () => {
  const pieces = '{}[]",:\\/ue0-+.19Etfn \n\tab\u0001\u00e9'.split('');
  const change = fc.record({ at: fc.nat(), remove: fc.nat(2), insert: fc.constantFrom('', ...pieces) });
  fc.assert(
    fc.property(fc.jsonValue(), spacing, fc.array(change, { maxLength: 3 }), (value, space, changes) => {
      let text = JSON.stringify(value, null, space);
      for (const { at, remove, insert } of changes) {
        const place = at % (text.length + 1);
        text = text.slice(0, place) + insert + text.slice(place + remove);
      }
      // Half of a surrogate pair has no bytes of its own.
      const whole = text.toWellFormed();
      expect(isScanned(whole)).toBe(isParsed(whole));
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  '',
  '01',
  '-',
  '1.',
  '.5',
  '1e',
  '+1',
  '"',
  '"\\x"',
  '"\\u12g4"',
  '"\n"',
  'tru',
  'nulll',
  '[1,]',
  '{"a":1,}',
  '{"a"}',
  '{a:1}',
  '[1 2]',
])('the scanner does not pass %j', (text) => {
  expect(isScanned(text)).toBe(false);
});

test('the scanner passes 64 levels and no more', () => {
  expect(isScanned('['.repeat(64) + ']'.repeat(64))).toBe(true);
  expect(isScanned('['.repeat(65) + ']'.repeat(65))).toBe(false);
});

const good = fc.record(
  {
    priority: fc.constantFrom('critical', 'high', 'normal', 'low'),
    delay: fc.constantFrom('5s', 250),
    maxAttempts: fc.constantFrom(1, 3),
    key: fc.string({ minLength: 1, maxLength: 5 }),
    group: fc.string({ minLength: 1, maxLength: 5 }),
    headers: fc.dictionary(fc.constantFrom('X-One', 'X-Two'), fc.constantFrom('', 'a')),
  },
  { requiredKeys: [] },
);
const owners = fc.constantFrom<Owners>('none', 'each', { all: 'ada' });
const bad = fc.constantFrom({ priority: 'urgent' }, { delay: 'soon' }, { maxAttempts: 0 }, { surplus: true });
const options = fc.oneof({ arbitrary: good, weight: 9 }, { arbitrary: bad, weight: 1 });

test('a batch is read from its bytes as the schemas read it, or left to them', () => {
  let readFromBytes = 0;
  const item = fc.tuple(fc.jsonValue(), options).map(([payload, given]) => ({ payload, ...given }));
  fc.assert(
    fc.property(fc.array(item, { maxLength: 5 }), spacing, owners, (items, space, whose) => {
      const body = JSON.stringify({ items }, null, space);
      const slow = readEnqueueMany('mail', JSON.parse(body), json, whose);
      const fast = readPlainEnqueueMany('mail', bytes(body), whose);
      if (fast === undefined) return;
      readFromBytes += 1;
      expect(slow.ok).toBe(true);
      if (!slow.ok) return;
      const read = (each: (typeof fast)[number]) => {
        if (!each.ok) throw new Error('refused');
        const { payload, ...rest } = each.value;
        return { ...rest, payload: JSON.parse(Buffer.from(payload).toString()) as unknown };
      };
      expect(fast.map(read)).toEqual(slow.value.map(read));
    }),
  );
  expect(readFromBytes).toBeGreaterThan(10);
});

test.each([
  ['none', { payload: 1 }, undefined],
  ['none', { payload: 1, headers: { [ownerHeader]: 'bob' } }, 'refused'],
  ['each', { payload: 1 }, undefined],
  ['each', { payload: 1, headers: { [ownerHeader]: 'bob' } }, 'bob'],
  ['each', { payload: 1, headers: { 'trivet-owner': 'bob' } }, 'refused'],
  [{ all: 'ada' }, { payload: 1 }, 'ada'],
  [{ all: 'ada' }, { payload: 1, key: 'k', headers: { 'x-one': '1' } }, 'ada'],
  [{ all: 'ada' }, { payload: 1, headers: { [ownerHeader]: 'bob' } }, 'refused'],
] as const)('where %j says whose items are, %j belongs to: %s', (whose, item, owner) => {
  const body = JSON.stringify({ items: [item] });
  const slow = readEnqueueMany('mail', JSON.parse(body), json, whose);
  const [one] = (slow.ok ? slow.value : undefined) ?? [];
  expect(one?.ok === true ? one.value.options.headers?.[ownerHeader] : 'refused').toBe(owner);
  const [fast] = readPlainEnqueueMany('mail', bytes(body), whose) ?? [];
  // What is refused is left to the schemas, which have words for it.
  expect(fast?.ok === true ? fast.value.options.headers?.[ownerHeader] : 'refused').toBe(owner);
});

test('a payload stays as it was written: every digit, the order of its members, its blanks', () => {
  const payload = '{"b": 1152921504606846977, "a": 1e400, "b": [ ] }';
  const [item] = readJsonItems(bytes(`{"items":[{"payload":${payload},"priority":"high"}]}`)) ?? [];
  expect(Buffer.from(item?.payload ?? []).toString()).toBe(payload);
  expect({ ...item?.options }).toEqual({ priority: 'high' });
});

test('what is kept does not change with the bytes of the request', () => {
  const body = bytes('{"items":[{"payload":"first"}]}');
  const [item] = readPlainEnqueueMany('mail', body) ?? [];
  body.fill(0);
  expect(item?.ok === true && Buffer.from(item.value.payload).toString()).toBe('"first"');
});

test.each([
  ['no list', '{"items":{}}'],
  ['no items', '{"items":[]}'],
  ['another field', '{"items":[{"payload":1}],"more":1}'],
  ['an item without a payload', '{"items":[{"priority":"high"}]}'],
  ['an empty item', '{"items":[{}]}'],
  ['two payloads', '{"items":[{"payload":1,"payload":2}]}'],
  ['a payload under an escaped name', '{"items":[{"payload":1,"\\u0070ayload":2}]}'],
  ['an option given twice', '{"items":[{"payload":1,"key":"a","key":"b"}]}'],
  ['a prototype', '{"items":[{"payload":1,"__proto__":{"key":"a"}}]}'],
  ['something behind the end', '{"items":[{"payload":1}]}x'],
  ['a byte order mark', '\ufeff{"items":[{"payload":1}]}'],
])('a batch with %s is left to the schemas', (_, body) => {
  expect(readPlainEnqueueMany('mail', bytes(body))).toBeUndefined();
});

test('bytes that are no UTF-8 and batches that are too long are left to the schemas', () => {
  const broken = bytes('{"items":[{"payload":"?"}]}');
  broken[broken.indexOf(0x3f)] = 0xff;
  expect(readJsonItems(broken)).toBeUndefined();
  const items = Array.from({ length: batchItemsMax + 1 }, () => '{"payload":1}').join(',');
  expect(readPlainEnqueueMany('mail', bytes(`{"items":[${items}]}`))).toBeUndefined();
});
