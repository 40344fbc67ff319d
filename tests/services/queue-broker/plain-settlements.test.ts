import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decode, json } from '#shared/protocol/encoding.ts';
import { batchItemsMax, dequeueItemsMax, leaseMsMax, leaseMsMin } from '#shared/protocol/limits.ts';
import { leasedReaders, readPlainLeased } from '#services/queue-broker/leased-requests.ts';

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** As the schemas read it. */
function readBySchema(operation: 'complete' | 'release', text: string) {
  const body = decode(bytes(text), json);
  const read = body.ok ? leasedReaders[operation](body.value) : body;
  return read.ok ? read.value : undefined;
}

const base36 = '0123456789abcdefghijklmnopqrstuvwxyz'.split('');
const half = (maxLength: number) => fc.string({ unit: fc.constantFrom(...base36), minLength: 1, maxLength });
const item = fc.record({
  id: fc.tuple(half(4), half(12)).map(([partition, order]) => `${partition}-${order}`),
  token: fc.integer({ min: 1, max: 999_999_999_999_999 }),
});
const fetch = fc.record(
  {
    max: fc.integer({ min: 1, max: dequeueItemsMax }),
    lease: fc.integer({ min: leaseMsMin, max: leaseMsMax }),
  },
  { requiredKeys: ['max'] },
);
const batch = fc.record(
  { items: fc.array(item, { minLength: 1, maxLength: 5 }), fetch },
  { requiredKeys: ['items'] },
);

test('a batch that names items and tokens alone is read as the schemas read it', () => {
  fc.assert(
    fc.property(batch, (body) => {
      const text = JSON.stringify(body);
      const plain = readPlainLeased('complete', bytes(text));
      expect(plain).toEqual(readBySchema('complete', text));
      expect(plain).toBeDefined();
    }),
  );
});

test.each(['complete', 'release'] as const)(
  'whatever is changed in a batch, %s reads nothing straight from the bytes that the schemas read otherwise',
  (operation) => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      ':',
      '-',
      '\\',
      ' ',
      '0',
      '1',
      '9',
      'a',
      'z',
      '.',
      'e',
      '\u00e9',
      '"id"',
      '"token":',
      '"result":1,',
      '"fetch":',
      '"items":',
    ];
    const change = fc.record({ at: fc.nat(), remove: fc.nat(3), insert: fc.constantFrom('', ...pieces) });
    fc.assert(
      fc.property(batch, fc.array(change, { minLength: 1, maxLength: 3 }), (body, changes) => {
        let text = JSON.stringify(body);
        for (const { at, remove, insert } of changes) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + insert + text.slice(place + remove);
        }
        const plain = readPlainLeased(operation, bytes(text.toWellFormed()));
        if (plain !== undefined) expect(plain).toEqual(readBySchema(operation, text.toWellFormed()));
      }),
      { numRuns: 5_000 },
    );
  },
);

const one = '{"id":"0-1","token":1}';

test.each([
  ['too many items', `{"items":[${Array.from({ length: batchItemsMax + 1 }, () => one).join(',')}]}`],
  ['no items', '{"items":[]}'],
  ['a result', '{"items":[{"id":"0-1","token":1,"result":1}]}'],
  ['a token of 0', '{"items":[{"id":"0-1","token":0}]}'],
  ['a token with a leading zero', '{"items":[{"id":"0-1","token":01}]}'],
  ['a token with a fraction', '{"items":[{"id":"0-1","token":1.5}]}'],
  ['an id that is none', '{"items":[{"id":"0_1","token":1}]}'],
  ['an id that is too long', '{"items":[{"id":"0-1234567890abc","token":1}]}'],
  ['more than may be fetched', `{"items":[${one}],"fetch":{"max":1001}}`],
  ['a lease that is too short', `{"items":[${one}],"fetch":{"max":1,"lease":1}}`],
  ['something behind it', `{"items":[${one}]} x`],
  ['something else in it', `{"items":[${one}],"items":[]}`],
])('%s is left to the schemas', (_, text) => {
  expect(readPlainLeased('complete', bytes(text))).toBeUndefined();
});

test('what is handed back fetches nothing', () => {
  expect(readPlainLeased('release', bytes(`{"items":[${one}]}`))).toBeDefined();
  expect(readPlainLeased('release', bytes(`{"items":[${one}],"fetch":{"max":1}}`))).toBeUndefined();
});
