import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { measure } from '#tests/bench/measure.ts';
import { hitRatioSuite } from './hit-ratio-suite.ts';

test('a file of keys is replayed against each policy, beside the optimum', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'trivet-trace-'));
  try {
    const path = join(folder, 'keys.txt');
    const keys = Array.from({ length: 2_000 }, (_, n) => `user:${n % 7 === 0 ? n % 50 : n}`);
    writeFileSync(path, `${keys.join('\n')}\n`);
    const { results, failures } = await measure(hitRatioSuite(path).workloads, 1, () => {});
    expect(failures).toEqual([]);
    expect(results).toHaveLength(9);
    for (const one of results) {
      expect(one).toMatchObject({ unit: '% hits', peerName: "Belady's optimum" });
      expect(one.ratio).toBeLessThanOrEqual(1);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a file without keys is refused by its name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'trivet-trace-'));
  try {
    const path = join(folder, 'empty.txt');
    writeFileSync(path, '\n\n');
    expect(() => hitRatioSuite(path)).toThrow(`${path} holds no keys`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
