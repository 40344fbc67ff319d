import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { moments, printedSeed } from './endurance.ts';
import { logStates, runLong } from './long-run.ts';
import { type RunningQueue, startQueue } from './running-queue.ts';

const logBytesMax = 16 * 1_048_576;

let queue: RunningQueue;
let broker: ServiceProcess;

beforeEach(async () => {
  queue = await startQueue({ env: { TRIVET_LOG_BYTES_MAX: String(logBytesMax) } });
  broker = await queue.startBroker();
});

afterEach(() => queue?.stop());

/** As the supervisor does it: what does not come up on a busy machine is started again. */
const restarted = (tries = 3): Promise<ServiceProcess> =>
  queue.startBroker().catch((error: unknown) => {
    if (tries === 1) throw error;
    return restarted(tries - 1);
  });

test(
  'a million items pass through logs of 16 MiB, over six kills and a lost folder',
  { timeout: 900_000 },
  async () => {
    const items = 1_000_000;
    const kill = async () => {
      await broker.kill();
      broker = await restarted();
    };
    const forget = async () => {
      await broker.kill();
      await rm(queue.data, { recursive: true });
      broker = await restarted();
    };
    const falls = [kill, kill, kill, forget, kill, kill, kill];
    const blows = moments(falls.length, printedSeed()).map((at, index) => ({
      at,
      fall: falls[index] ?? kill,
    }));
    const run = await runLong({ queue, items, blows });
    expect([run.lost, run.doubled, run.finished]).toEqual([[], [], items]);
    for (const bytes of run.logBytesMax) expect(bytes).toBeLessThan(logBytesMax);
    const logs = await logStates(queue);
    expect(logs.filter(({ firstSequence }) => firstSequence > 1).length).toBeGreaterThan(1);
    expect((await auditLog(queue.server)).faults).toEqual([]);
    expect(await broker.stop()).toBe(0);
  },
);
