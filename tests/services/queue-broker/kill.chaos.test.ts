import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { endure, expectNothingLost, moments, printedSeed } from './endurance.ts';
import { type RunningQueue, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let broker: ServiceProcess;

beforeEach(async () => {
  queue = await startQueue();
  broker = await queue.startBroker();
});

afterEach(() => queue?.stop());

test('ten kills of the broker among 100,000 items lose nothing', { timeout: 300_000 }, async () => {
  const items = 100_000;
  const kill = async () => {
    await broker.kill();
    broker = await queue.startBroker();
  };
  const blows = moments(10, printedSeed()).map((at) => ({ at, fall: kill }));
  const endured = await endure({ queue, items, blows });
  expect(await broker.stop()).toBe(0);
  expectNothingLost(endured, items);
});

test('the table may be deleted among 50,000 items, the log is enough', { timeout: 300_000 }, async () => {
  const items = 50_000;
  const forget = async () => {
    await broker.kill();
    await rm(queue.data, { recursive: true });
    broker = await queue.startBroker();
  };
  const endured = await endure({ queue, items, blows: [{ at: 0.5, fall: forget }] });
  expect(await broker.stop()).toBe(0);
  expectNothingLost(endured, items);
});
