import { expect, test } from 'vitest';
import { measure } from '#tests/bench/measure.ts';
import { memory } from './memory.ts';

test(
  'the cost of entries is measured on both sides, and a full collection does not feel ours',
  { timeout: 120_000 },
  async () => {
    const { results, failures } = await measure([memory(100_000)], 1, () => {});
    expect(failures).toEqual([]);
    expect(results).toMatchObject([{ workload: 'memory-1.5m', unit: 'ms', peerName: 'a plain Map' }]);
    const [result] = results;
    expect(result?.ours).toBeLessThan(result?.peer ?? 0);
    expect(result?.notes).toContain('bytes an entry beyond key and value');
  },
);
