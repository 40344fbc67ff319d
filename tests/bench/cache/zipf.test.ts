import { expect, test } from 'vitest';
import { zipfDraws } from './zipf.ts';

test('the key of rank r is drawn in proportion to 1 / r^exponent', () => {
  const draws = zipfDraws({ count: 200_000, keys: 100, exponent: 0.99, seed: 1 });
  const counts = new Float64Array(100);
  for (const key of draws) counts[key] = (counts[key] ?? 0) + 1;
  const byRank = [...counts].sort((a, b) => b - a);
  for (const rank of [2, 5, 10, 50])
    expect((byRank[0] ?? 0) / (byRank[rank - 1] ?? 1)).toBeCloseTo(rank ** 0.99, -Math.log10(rank * 0.2));
});

test('the same seed draws the same keys, another one others, and all are keys', () => {
  const options = { count: 1_000, keys: 50, exponent: 0.99, seed: 7 };
  const draws = zipfDraws(options);
  expect(zipfDraws(options)).toEqual(draws);
  expect(zipfDraws({ ...options, seed: 8 })).not.toEqual(draws);
  expect(draws.every((key) => key >= 0 && key < 50)).toBe(true);
});
