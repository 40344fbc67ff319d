import { setTimeout as delay } from 'node:timers/promises';
import { perMessage } from './log-records.ts';

export const steadyPerSecond = 10_000;

/** Publishes `perMessage` records at a time, each message when it is due; resolves when all are stored. */
export async function publishSteadily(
  seconds: number,
  publish: (message: number) => Promise<void>,
): Promise<void> {
  const started = performance.now();
  for (let message = 0; message < (seconds * steadyPerSecond) / perMessage; message += 1) {
    const dueMs = started + (message * perMessage * 1_000) / steadyPerSecond;
    if (dueMs > performance.now()) await delay(dueMs - performance.now());
    await publish(message);
  }
}
