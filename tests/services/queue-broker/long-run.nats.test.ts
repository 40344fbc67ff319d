import { afterEach, beforeEach, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { logStates, runLong } from './long-run.ts';
import { type RunningQueue, partitions, startQueue } from './running-queue.ts';

const logBytesMax = 1_048_576;

let queue: RunningQueue;
let broker: ServiceProcess;

beforeEach(async () => {
  queue = await startQueue({ env: { TRIVET_LOG_BYTES_MAX: String(logBytesMax) } });
  broker = await queue.startBroker();
});

afterEach(() => queue?.stop());

test(
  'a log that holds a fraction of what passes through it never fills up',
  { timeout: 120_000 },
  async () => {
    const items = 64_000;
    const kill = async () => {
      await broker.kill();
      broker = await queue.startBroker();
    };
    const blows = [0.3, 0.6].map((at) => ({ at, fall: kill }));
    const run = await runLong({ queue, items, blows });
    expect([run.lost, run.doubled, run.finished]).toEqual([[], [], items]);
    for (const bytes of run.logBytesMax) expect(bytes).toBeLessThan(logBytesMax);
    const truncated = async () =>
      (await logStates(queue)).filter(({ firstSequence }) => firstSequence > 1).length;
    // The last snapshot, and the truncation that it allows, may still be under way.
    await expect.poll(truncated, { timeout: 20_000 }).toBe(partitions);
    expect((await auditLog(queue.server)).faults).toEqual([]);
    expect(await broker.stop()).toBe(0);
  },
);
