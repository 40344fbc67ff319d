import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openEnvironment } from '#shared/runtime/lmdb.ts';
import { HistoryTable } from '#services/telemetry-collector/history-table.ts';

test('what is said to be kept is what is kept, also where rows are too old and too many at once', async () => {
  const path = mkdtempSync(join(tmpdir(), 'trivet-history-'));
  const environment = openEnvironment({ path });
  onTestFinished(async () => {
    await environment.close();
    rmSync(path, { recursive: true, force: true });
  });
  const rowBytes = 24;
  const table = new HistoryTable(environment, [{ stepMs: 10, ageMsMax: 100 }], 4 * rowBytes);
  const write = (nowMs: number, ...steps: readonly number[]): Promise<void> => {
    const rows = steps.map((atMs) => ({ tier: 0, atMs, numbers: Float64Array.of(1, atMs, 0) }));
    return environment.transaction((writes) => table.write(rows, nowMs, writes));
  };
  await write(20, 0, 10, 20);
  await write(110, 30, 40, 50, 60, 70, 80, 90, 100);
  const kept = table.points(1, 0, 0, 1_000).length;
  expect(table.bytes).toBe(kept * rowBytes);
});
