import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Item } from '#services/queue-broker/core/item.ts';
import { decodeItem, encodeItem } from '#services/queue-broker/item-codec.ts';
import { packRecord } from '#shared/runtime/record-codec.ts';
import { anyItem, madeItem } from './made-items.ts';

/** Bytes as numbers: a Buffer and a Uint8Array of the same bytes are the same here. */
const plain = (item: Item) => ({
  ...item,
  progress: item.progress === undefined ? undefined : [...item.progress],
  result: item.result === undefined ? undefined : [...item.result],
  inline: item.inline === undefined ? undefined : [...item.inline],
});

test('any item is read as it was written', () => {
  fc.assert(
    fc.property(anyItem, (item) => {
      expect(plain(decodeItem(encodeItem(item)))).toEqual(plain(item));
    }),
  );
});

test('every item that is read has the same fields in the same order, so that copies of it are cheap', () => {
  const whole = Object.keys(decodeItem(encodeItem(madeItem())));
  fc.assert(
    fc.property(anyItem, (item) => {
      expect(Object.keys(decodeItem(encodeItem(item)))).toEqual(whole);
    }),
  );
});

/** A row as the first version of the format wrote it. */
const row1 = (version: number, state: number) =>
  packRecord([
    version,
    state,
    7,
    'mail',
    2,
    9,
    1_000,
    1,
    5,
    { kind: 'fixed', delayMs: 1_000 },
    1_000,
    4,
    true,
    2,
    [{ attempt: 1, startedAt: 1_500, worker: 'w' }],
    [
      [1_000, -1, 2, 'enqueued'],
      [1_500, 2, 3, 'claimed'],
    ],
    'group',
    null,
    null,
    null,
    null,
    1_500,
    null,
    { leaseMs: 30_000, expiresAt: 31_500 },
    null,
    null,
    null,
    null,
    { a: 'b' },
  ]);

test('a row of the first version is read', () => {
  expect(decodeItem(row1(1, 3))).toEqual(
    madeItem({
      order: 7,
      state: 'processing',
      readyOrder: 9,
      readyAt: 1_000,
      enqueuedAt: 1_000,
      attempt: 1,
      token: 4,
      attempts: [{ attempt: 1, startedAt: 1_500, worker: 'w' }],
      transitions: [
        { at: 1_000, from: null, to: 'pending', why: 'enqueued' },
        { at: 1_500, from: 'pending', to: 'processing', why: 'claimed' },
      ],
      group: 'group',
      startedAt: 1_500,
      lease: { leaseMs: 30_000, expiresAt: 31_500 },
      headers: { a: 'b' },
    }),
  );
});

test('a row of another version, or in a state that does not exist, is refused', () => {
  expect(() => decodeItem(row1(3, 3))).toThrow('a row has version 3, this broker reads 1 and 2');
  expect(() => decodeItem(row1(1, 99))).toThrow('a row has state 99');
  const row = encodeItem(madeItem());
  row[1] = 99;
  expect(() => decodeItem(row)).toThrow('a row has state 99');
});

test('a damaged row is refused', () => {
  const row = encodeItem(madeItem());
  expect(() => decodeItem(row.subarray(0, row.length - 5))).toThrow();
});
