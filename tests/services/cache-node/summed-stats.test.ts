import { expect, test } from 'vitest';
import { summedStats } from '#services/cache-node/core/summed-stats.ts';
import { madeNamespace, setOf } from './made-namespace.ts';

/** The figures of a node that has so many entries in memory, and twice as many in a file. */
function statsOf(entries: number, hasFile: boolean) {
  const namespace = madeNamespace();
  for (let n = 0; n < entries; n += 1) namespace.set(setOf(`k${n}`, n), 0);
  if (hasFile) namespace.behind = () => ({ entries: 2 * entries, bytes: 2 * namespace.bytes });
  return namespace.stats(0);
}

test('what is in memory before a backend is the sum over the nodes, as what is behind it', () => {
  const nodes = [statsOf(1, true), statsOf(2, true), statsOf(4, true)] as const;
  const [first, ...others] = nodes;
  const sum = summedStats(first, others);
  expect(sum.inMemory).toEqual({ entries: 7, bytes: sum.bytes / 2 });
  expect(sum.entries).toBe(14);
});

test('without a backend nothing is said of memory', () => {
  expect(summedStats(statsOf(1, false), [statsOf(2, false)])).not.toHaveProperty('inMemory');
});
