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

const killBroker = async () => {
  await broker.kill();
  broker = await queue.startBroker();
};

test('nothing that was acknowledged is lost when the broker is killed', { timeout: 120_000 }, async () => {
  const items = 5_000;
  const blows = moments(3, printedSeed()).map((at) => ({ at, fall: killBroker }));
  const endured = await endure({ queue, items, blows });
  expect(await broker.stop()).toBe(0);
  expectNothingLost(endured, items);
});

test('a broker whose table is gone rebuilds it from the log', { timeout: 120_000 }, async () => {
  const items = 3_000;
  const forget = async () => {
    await broker.kill();
    await rm(queue.data, { recursive: true });
    broker = await queue.startBroker();
  };
  const blows = moments(2, printedSeed()).map((at) => ({ at, fall: forget }));
  expectNothingLost(await endure({ queue, items, blows }), items);
});

test('nothing is lost when nats-server is killed', { timeout: 120_000 }, async () => {
  const items = 2_000;
  const killServer = async () => {
    queue.server.kill();
    await queue.server.restart();
  };
  const blows = moments(2, printedSeed()).map((at) => ({ at, fall: killServer }));
  // Publishes must not wait for half a minute until somebody notices that their consumer died with the server.
  expectNothingLost(await endure({ queue, items, blows, settleMsMax: 20_000 }), items);
});
