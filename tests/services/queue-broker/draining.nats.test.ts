import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RunningQueue, startQueue } from './running-queue.ts';

let queue: RunningQueue;

beforeEach(async () => {
  queue = await startQueue();
});

afterEach(() => queue.stop());

/** Asks again and again until the answer is another one than success. @returns that one */
async function untilRefused(name: string, body: string): Promise<string> {
  for (;;) {
    try {
      const { headers } = await queue.client.request(`trivet.queue.${name}.enqueue`, body, {
        timeout: 10_000,
      });
      const code = headers?.get('Nats-Service-Error-Code') ?? '';
      if (code !== '') return code;
    } catch (error) {
      return error instanceof Error && error.message.startsWith('no responders') ? 'nobody' : String(error);
    }
  }
}

test('a broker that is told to end leaves no request without an answer', async () => {
  const broker = await queue.startBroker();
  const body = JSON.stringify('x'.repeat(100));
  const callers = Array.from({ length: 2_000 }, (_, n) => untilRefused(`q${n % 16}`, body));
  await pause(1_000);
  await broker.stop();
  const heard = new Set(await Promise.all(callers));
  // Answered, or told at once that nobody is there; never left to wait.
  expect([...heard].filter((one) => one !== '503' && one !== 'nobody')).toEqual([]);
}, 60_000);
