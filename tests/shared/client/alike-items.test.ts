import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readAlikeItems } from '#shared/client/alike-items.ts';

const read = (text: string) => readAlikeItems(text, (id, like) => ({ ...like, id }));

const id = fc.oneof(fc.stringMatching(/^[0-9a-z]{1,3}-[0-9a-z]{1,11}$/), fc.string({ unit: 'grapheme' }));
const rest = fc.oneof(
  fc.constantFrom(
    { state: 'pending', duplicate: false },
    { state: 'pending', duplicate: false },
    { state: 'scheduled', duplicate: true, replaced: true },
  ),
  fc.dictionary(
    fc.string().filter((name) => name !== 'id' && name !== '__proto__'),
    fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.constant({ message: 'broken' })),
    { maxKeys: 3, noNullPrototype: true },
  ),
);

test('what it reads is what a parser reads, whatever the items are', () => {
  const item = fc.tuple(id, rest).map(([own, others]) => ({ id: own, ...others }));
  const list = fc.oneof(
    fc.array(item, { maxLength: 5 }),
    fc
      .tuple(fc.array(id, { minLength: 1, maxLength: 20 }), rest)
      .map(([ids, others]) => ids.map((own) => ({ id: own, ...others }))),
    fc.array(fc.oneof(item, fc.constant({ error: { code: 'queue_full' } })), { maxLength: 5 }),
  );
  fc.assert(
    fc.property(list, fc.boolean(), (items, isSpaced) => {
      const text = JSON.stringify({ items }, undefined, isSpaced ? 1 : undefined);
      const found = read(text);
      if (found !== undefined) expect(found).toEqual((JSON.parse(text) as { items: unknown }).items);
    }),
    { numRuns: 2_000 },
  );
});

test('it reads the reply to a batch of new items, and leaves every other one alone', () => {
  const one = (own: string) => `{"id":"${own}","state":"pending","duplicate":false}`;
  expect(read(`{"items":[${one('0-1')},${one('0-a')}]}`)).toEqual([
    { id: '0-1', state: 'pending', duplicate: false },
    { id: '0-a', state: 'pending', duplicate: false },
  ]);
  for (const text of [
    '',
    '{}',
    '{"items":[]}',
    '[]',
    `{"items":[${one('0-1')}`,
    `{"items":[${one('0-1')},]}`,
    `{"items":[${one('0-1')}],"more":1}`,
    `{"items":[${one('0-1')}${one('0-2')}]}`,
    `{"items":[${one('0-1')},{"id":"0-2","state":"scheduled","duplicate":false}]}`,
    `{"items":[${one('0-1')},{"error":{"code":"queue_full"}}]}`,
    `{"items":[${one('0-1')},${one('0-\\u0031')}]}`,
    '{"items":[{"id":"0-1","state":"pend}ing"}]}',
    '{"items":[{"id":"0-1","more":{"a":1}}]}',
  ])
    expect(read(text), text).toBeUndefined();
});
