import { expect, test } from 'vitest';
import { MadePartition } from './made-partition.ts';

test('a search field may have a name that every object has, and a list by it finds what has it', async () => {
  const made = await MadePartition.make();
  const names = ['constructor', 'toString', '__proto__', 'a'];
  expect(await made.answer('configure', { search: names })).toMatchObject({
    value: { settings: { search: names } },
  });
  const [, second] = await made.enqueue([{ payload: { a: 'x' } }, { payload: { constructor: 'x-ray' } }]);
  expect(await made.answer('list', { q: 'x-' })).toMatchObject({ value: { items: [{ id: second }] } });
  expect(await made.answer('list', { fields: { constructor: 'ray' } })).toMatchObject({
    value: { items: [{ id: second }] },
  });
  expect(await made.answer('list', { fields: { toString: 'x' } })).toEqual({ value: { items: [] } });
  expect(made.losses).toEqual([]);
});
