import { afterAll, beforeAll, test } from 'vitest';
import { sleep, systemClock } from '#shared/runtime/clock.ts';
import { type RunningQueue, startQueue } from '#tests/services/queue-broker/running-queue.ts';
import { conformanceCases, runCase } from './conformance-cases.ts';
import { type Target, targetOver } from './target.ts';

let queue: RunningQueue;
let target: Target;

beforeAll(async () => {
  queue = await startQueue();
  await queue.startBroker();
  target = targetOver(queue.client, { prefix: 'trivet', pass: (ms) => sleep(systemClock, ms) });
});

afterAll(() => queue?.stop());

test.each(conformanceCases.map((one, number) => ({ one, name: one.name, number })))(
  'a real broker: $name',
  ({ one, number }) => runCase(target, one, `case-${number}`),
);
