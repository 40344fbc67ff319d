import { afterEach, beforeEach, expect, test } from 'vitest';
import { auditLog } from '#tests/support/log-auditor.ts';
import type { ServiceProcess } from '#tests/support/service-process.ts';
import { endure, expectNothingLost } from './endurance.ts';
import { type RunningQueue, leased, partitions, replyOf, startQueue } from './running-queue.ts';

let queue: RunningQueue;
let owner: ServiceProcess;
let standIn: ServiceProcess;

beforeEach(async () => {
  queue = await startQueue();
  owner = await queue.startBroker('broker-a');
  standIn = await queue.startBroker('broker-b');
});

afterEach(() => queue?.stop());

const owns = (broker: ServiceProcess) => broker.output().includes('owns the partitions');

/** Milliseconds until a request is answered again; those in between may be lost. */
async function msUntilServed(): Promise<number> {
  const startedMs = performance.now();
  const ask = () =>
    queue.client.request('trivet.queue.after.enqueue', '1', { timeout: 500 }).then(
      (reply) => replyOf(reply).status,
      () => -1,
    );
  await expect.poll(ask, { timeout: 20_000, interval: 50 }).toBe(0);
  return performance.now() - startedMs;
}

/** Each partition's fences, by broker, in the order of the log. */
async function reigns(): Promise<readonly (readonly string[])[]> {
  const { fences, faults, foreign } = await auditLog(queue.server);
  expect([faults, foreign]).toEqual([[], 0]);
  return Array.from({ length: partitions }, (_, partition) =>
    fences.filter((fence) => fence.partition === partition).map((fence) => fence.broker),
  );
}

test('a stand-in serves nothing while the owner lives', async () => {
  expect([owns(owner), owns(standIn)]).toEqual([true, false]);
  expect(await reigns()).toEqual(Array.from({ length: partitions }, () => ['broker-a']));
});

test('the stand-in takes over within seconds when the owner is killed, and leases survive it', async () => {
  await queue.ask('survivors', 'enqueue', 1);
  const [item] = leased(await queue.ask('survivors', 'dequeue', { lease: '1m' }));
  await owner.kill();
  expect(await msUntilServed()).toBeLessThan(6_000);
  await expect.poll(() => owns(standIn)).toBe(true);
  const done = await queue.ask('survivors', 'complete', { id: item?.id, token: item?.token });
  expect(done.body).toEqual({ id: item?.id, state: 'done' });
});

test('an owner that is told to end hands over at once', async () => {
  const startedMs = performance.now();
  expect(await owner.stop()).toBe(0);
  await msUntilServed();
  // Less than a lease lasts: the stand-in did not have to wait for it to run out.
  expect(performance.now() - startedMs).toBeLessThan(2_900);
  await expect.poll(() => owns(standIn)).toBe(true);
});

test('an owner that slept past its lease writes nothing more when it wakes', async () => {
  await queue.ask('before', 'enqueue', 1);
  process.kill(owner.pid, 'SIGSTOP');
  await expect.poll(() => owns(standIn), { timeout: 20_000 }).toBe(true);
  // These may be handed to the sleeping one, too: it must not carry them out when it wakes.
  for (let n = 0; n < 40; n += 1) queue.client.publish('trivet.queue.asleep.enqueue', String(n));
  await queue.client.flush();
  process.kill(owner.pid, 'SIGCONT');
  await expect.poll(() => owner.output(), { timeout: 10_000 }).toContain('gives the partitions up');
  await msUntilServed();
  for (const each of await reigns()) expect(each).toEqual(['broker-a', 'broker-b']);
  expect(await owner.stop()).toBe(0);
  expect(await standIn.stop()).toBe(0);
  for (const each of await reigns()) expect(each).toEqual(['broker-a', 'broker-b']);
});

test('nothing is lost while owners fall asleep and wake under load', { timeout: 120_000 }, async () => {
  const items = 3_000;
  const nap = async () => {
    const [awake, other] = owns(standIn) ? [standIn, owner] : [owner, standIn];
    const taken = () => other.output().split('owns the partitions').length;
    const before = taken();
    process.kill(awake.pid, 'SIGSTOP');
    await expect.poll(taken, { timeout: 20_000 }).toBeGreaterThan(before);
    process.kill(awake.pid, 'SIGCONT');
  };
  expectNothingLost(await endure({ queue, items, blows: [{ at: 0.3, fall: nap }] }), items);
});

test('a stand-in with another number of partitions is refused at its start, not when it is needed', async () => {
  const refusal = await queue
    .startBroker('broker-c', { TRIVET_PARTITIONS: String(partitions + 1) })
    .catch(String);
  expect(refusal).toContain(`set TRIVET_PARTITIONS=${partitions}`);
  expect(refusal).not.toContain('stack');
});
