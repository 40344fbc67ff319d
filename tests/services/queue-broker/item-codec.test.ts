import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Item } from '#services/queue-broker/core/item.ts';
import { decodeItem, encodeItem, encodedState } from '#services/queue-broker/item-codec.ts';
import { states } from '#shared/protocol/queue-schemas.ts';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import { anyItem, madeItem } from './made-items.ts';

/** Bytes as numbers: a Buffer and a Uint8Array of the same bytes are the same here. */
const plain = (item: Item) => ({
  ...item,
  progress: item.progress === undefined ? undefined : [...item.progress],
  result: item.result === undefined ? undefined : [...item.result],
});

test('any item is read as it was written', () => {
  fc.assert(
    fc.property(anyItem, (item) => {
      expect(plain(decodeItem(encodeItem(item)))).toEqual(plain(item));
    }),
  );
});

test('what an item does not have is absent after reading, not undefined', () => {
  const item = madeItem();
  expect(Object.keys(decodeItem(encodeItem(item))).sort()).toEqual(Object.keys(item).sort());
});

test('the state is read without decoding the row, whatever else stands in it', () => {
  fc.assert(
    fc.property(anyItem, fc.constantFrom(...states), (item, state) => {
      expect(encodedState(encodeItem({ ...item, state }))).toBe(state);
    }),
  );
});

test('a row of another version, or in a state that does not exist, is refused', () => {
  const row = unpackRecord(encodeItem(madeItem())) as unknown[];
  expect(() => decodeItem(packRecord([2, ...row.slice(1)]))).toThrow(
    'a row has version 2, this broker reads 1',
  );
  expect(() => decodeItem(packRecord([1, 99, ...row.slice(2)]))).toThrow('a row has state 99');
});

test('a damaged row is refused', () => {
  const row = encodeItem(madeItem());
  expect(() => decodeItem(row.subarray(0, row.length - 5))).toThrow();
});
