import { expect, test } from 'vitest';
import type { Batch } from '#services/queue-broker/core/facts.ts';
import { defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import { encodeBatch, encodeFence } from '#services/queue-broker/fact-codec.ts';
import { MemorySnapshots } from '#services/queue-broker/memory-snapshots.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { FencedError } from '#services/queue-broker/partition-log.ts';
import { applyRecord, recoverPartition } from '#services/queue-broker/partition-recovery.ts';
import { createLog } from '#shared/runtime/log.ts';
import { VirtualClock } from '#tests/support/virtual-clock.ts';
import { VirtualLog, VirtualStream, calmNetwork } from '#tests/support/virtual-log.ts';
import { transitions } from '#tests/support/virtual-world.ts';
import { MadeTable } from './made-table.ts';

const silent = createLog('test', 'silent');

const paused = (epoch: number, at: number): Batch => ({
  version: 3,
  epoch,
  at,
  facts: [{ kind: 'queue-paused', queue: 'mail', paused: true }],
});

/** A log, rows, and a broker that would take them. */
function place() {
  const clock = new VirtualClock();
  const stream = new VirtualStream();
  const store = new MemoryStore();
  const records = new VirtualLog({ stream, world: clock, process: clock, network: calmNetwork });
  const snapshots = new MemorySnapshots();
  const shared = { partition: 0, broker: 'a', clock, log: silent, records, store };
  const options = { ...shared, snapshots, transitions };
  const recover = (identity?: string) =>
    clock.until(
      recoverPartition({
        ...options,
        defaults: defaultSettings,
        records: identity === undefined ? records : { ...renamed(records, identity) },
      }),
    );
  return { clock, stream, store, snapshots, records, shared, recover };
}

/** The same log under another identity, as a stream that was made anew has one. */
const renamed = (records: VirtualLog, identity: string) => ({
  describe: async () => ({ ...(await records.describe()), identity }),
  raiseFence: records.raiseFence.bind(records),
  append: records.append.bind(records),
  read: records.read.bind(records),
  at: records.at.bind(records),
  purge: records.purge.bind(records),
});

const commit = (store: MemoryStore, sequence: number, logIdentity = 'virtual') => {
  const { table } = new MadeTable();
  table.advance(sequence, 0);
  const { changes, applied } = table.takeChanges();
  return store.commit(changes, { applied, logIdentity });
};

test('an empty log and an empty table make an empty partition, in the epoch of its first fence', async () => {
  const { recover } = place();
  const { table } = await recover();
  expect(table.applied).toMatchObject({ sequence: 1, epoch: 1, nextOrder: 1 });
});

test('what a former owner decided does not count, even where it stands in the log', () => {
  const { table } = new MadeTable();
  const target = { table, log: silent, partition: 0 };
  const fence = encodeFence({ version: 1, broker: 'a', at: 10 });
  applyRecord(target, { kind: 'fence', sequence: 1, data: fence });
  applyRecord(target, { kind: 'fence', sequence: 2, data: fence });
  applyRecord(target, { kind: 'batch', sequence: 3, data: encodeBatch(paused(1, 20)) });
  expect(table.queue('mail')?.paused ?? false).toBe(false);
  expect(table.applied).toMatchObject({ sequence: 3, epoch: 2 });
  applyRecord(target, { kind: 'batch', sequence: 4, data: encodeBatch(paused(2, 20)) });
  expect(table.queue('mail')?.paused).toBe(true);
});

test('a record that no broker wrote is passed over', () => {
  const { table } = new MadeTable();
  applyRecord({ table, log: silent, partition: 0 }, { kind: 'foreign', sequence: 1 });
  expect(table.applied).toMatchObject({ sequence: 1, at: 0 });
});

test('a table that is ahead of the log is not served: the log lost its tail', async () => {
  const { store, recover } = place();
  await recover();
  await commit(store, 9);
  await expect(recover()).rejects.toThrow('the table has applied record 9, the log ends at 1');
});

test('a table of another log is not served', async () => {
  const { store, recover } = place();
  await recover();
  await commit(store, 1);
  await expect(recover('another')).rejects.toThrow('the table belongs to a log made at virtual');
});

test('a log that begins behind the end of the table is not served: what lies between is gone', async () => {
  const { stream, store, recover } = place();
  await recover();
  await recover();
  await recover();
  await commit(store, 1);
  stream.drop(1);
  stream.drop(2);
  await expect(recover()).rejects.toThrow('the log begins at 3, the table ends at 1');
});

test('a hole in the log is not skipped', async () => {
  const { stream, store, recover } = place();
  await recover();
  await recover();
  await recover();
  await commit(store, 1);
  stream.drop(2);
  await expect(recover()).rejects.toThrow('lacks record 2');
});

test('of two brokers that take a partition at once, one is told so and the other one serves', async () => {
  const { clock, stream } = place();
  const taking = ['a', 'b'].map((broker) =>
    recoverPartition({
      partition: 0,
      broker,
      clock,
      log: silent,
      records: new VirtualLog({ stream, world: clock, process: clock, network: calmNetwork }),
      store: new MemoryStore(),
      snapshots: new MemorySnapshots(),
      transitions,
      defaults: defaultSettings,
    }),
  );
  const results = await clock.until(Promise.allSettled(taking));
  const refused = results.filter((result) => result.status === 'rejected');
  expect(refused).toHaveLength(1);
  expect(refused[0]?.reason).toBeInstanceOf(FencedError);
});
