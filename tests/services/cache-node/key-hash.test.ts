import { expect, test } from 'vitest';
import { HashIndex } from '#services/cache-node/core/hash-index.ts';
import { keyHash } from '#services/cache-node/core/key-hash.ts';
import { intColumn } from '#services/cache-node/core/slot-column.ts';

test('hashes of neighbouring keys are spread evenly over their high and their low bits', () => {
  const hash = keyHash([0x1234_5678, 0x0bad_cafe]);
  for (const bitsOf of [(value: number) => value >>> 26, (value: number) => value & 63]) {
    const counts = Array.from({ length: 64 }, () => 0);
    for (let n = 0; n < 64_000; n += 1) {
      const bucket = bitsOf(hash(`user:${n}`));
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    // A thousand in each are expected; five standard deviations are 160.
    expect(Math.min(...counts)).toBeGreaterThan(840);
    expect(Math.max(...counts)).toBeLessThan(1_160);
  }
});

test('another secret hashes otherwise, and every part of a key counts', () => {
  const [one, other] = [keyHash([1, 2]), keyHash([1, 3])];
  expect(one('key')).toBe(one('key'));
  expect(one('key')).not.toBe(other('key'));
  const keys = ['', 'a', 'b', 'ab', 'ba', 'aa', 'aaa', 'a\0', 'ü', 'ṻ', '😀', 'key:1', 'key:2'];
  expect(new Set(keys.map(one)).size).toBe(keys.length);
});

test('no single addition to the index takes long, however large it is', () => {
  const hashes = intColumn();
  const index = new HashIndex(hashes);
  const hash = keyHash([5, 6]);
  const split = { before: index.bytes, largest: 0 };
  for (let slot = 0; slot < 200_000; slot += 1) {
    const value = hash(`k${slot}`);
    hashes.set(slot, value);
    index.add(value, slot);
    // What an addition allocates bounds what it moves: two tables of 16 KiB, and the directory now and then.
    if (slot % 64 === 0) {
      split.largest = Math.max(split.largest, index.bytes - split.before);
      split.before = index.bytes;
    }
  }
  expect(index.bytes / 200_000).toBeLessThan(10.5);
  expect(split.largest).toBeLessThan(700_000);
  for (let slot = 0; slot < 200_000; slot += 997)
    expect(index.find(hash(`k${slot}`), (found) => found === slot)).toBe(slot);
});
