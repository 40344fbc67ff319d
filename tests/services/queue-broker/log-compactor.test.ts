import { expect, test } from 'vitest';
import { LogCompactor } from '#services/queue-broker/log-compactor.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { manifestName, readName } from '#services/queue-broker/snapshot-format.ts';
import { countingSnapshots } from '#services/queue-broker/snapshots.ts';
import { createLog } from '#shared/runtime/log.ts';
import { KeptLog, type LogOwner } from './kept-log.ts';

const digits = (count: number): string => String(count).padStart(16, '0');
const kept = async (log: KeptLog) => countingSnapshots(await log.snapshots.list(), 'virtual');

test('the log is purged below the older of the two newest snapshots, and never its fence', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  for (let record = 0; record < 5; record += 1) await owner.enqueue(10);
  await owner.compact();
  const [newer, older] = await kept(log);
  const { firstSequence, lastSequence, lastFence } = log.stream.describe();
  expect(firstSequence).toBe((older?.sequence ?? 0) + 1);
  expect(newer?.sequence).toBeGreaterThan(older?.sequence ?? 0);
  expect(lastFence).toBeGreaterThanOrEqual(firstSequence);
  expect(lastSequence).toBe(owner.partition.table.applied.sequence);
  expect(await owner.enqueue(1)).toBe('done');
  expect([owner.count, owner.losses]).toEqual([51, []]);
});

test('one snapshot alone does not shorten the log: it may turn out to be damaged', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(10);
  const { snapshots } = log;
  let puts = 0;
  // The first of the two is whole; the second one fails.
  const put = snapshots.put.bind(snapshots);
  snapshots.put = (name, bytes) => {
    if (readName(name)?.isManifest === true) puts += 1;
    return puts < 2 ? put(name, bytes) : Promise.reject(new Error('no room'));
  };
  await expect(owner.compact()).rejects.toThrow('no room');
  expect(await kept(log)).toHaveLength(1);
  expect(log.stream.describe().firstSequence).toBe(1);
});

test('only the newest two snapshots are kept, with all their parts and nothing else', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  for (let round = 0; round < 3; round += 1) {
    await owner.enqueue(10);
    await owner.compact();
  }
  const two = await kept(log);
  expect(two).toHaveLength(2);
  const names = await log.snapshots.list();
  expect(new Set(names.map((name) => readName(name)?.snapshot))).toEqual(
    new Set(two.map(({ snapshot }) => snapshot)),
  );
});

test('snapshots of what the log lost when an older copy of it was restored do not count, and go', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(10);
  await owner.compact();
  const { snapshots } = log;
  for (const name of await snapshots.list()) {
    const { sequence = 0, epoch = 0 } = readName(name) ?? {};
    const bytes = await snapshots.get(name);
    const later = name.replace(
      `${digits(sequence)}-${digits(epoch)}`,
      `${digits(sequence + 500)}-${digits(epoch + 400)}`,
    );
    if (bytes !== undefined) await snapshots.put(later, bytes);
  }
  expect(await kept(log)).toHaveLength(4);
  await owner.enqueue(1);
  await owner.compact();
  const { firstSequence, lastSequence } = log.stream.describe();
  const own = await kept(log);
  expect(own).toHaveLength(2);
  expect(own.every(({ sequence }) => sequence <= lastSequence)).toBe(true);
  expect(firstSequence).toBe((own.at(-1)?.sequence ?? 0) + 1);
  expect(await owner.enqueue(1)).toBe('done');
});

test('what an interrupted snapshot left is removed by the next one, and does not count before', async () => {
  const log = new KeptLog();
  const first = await log.take();
  await first.enqueue(10);
  const put = log.snapshots.put.bind(log.snapshots);
  log.snapshots.put = (name, bytes) =>
    readName(name)?.isManifest === true ? Promise.reject(new Error('killed')) : put(name, bytes);
  await expect(first.compact()).rejects.toThrow('killed');
  log.snapshots.put = put;
  const [left] = await log.snapshots.list();
  expect([left === undefined, await kept(log)]).toEqual([false, []]);
  await first.end();
  const second = await log.take();
  await second.compact();
  expect(await log.snapshots.list()).not.toContain(left);
  expect(await kept(log)).toHaveLength(2);
});

test('a snapshot that is read back as another one does not count', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(10);
  const put = log.snapshots.put.bind(log.snapshots);
  log.snapshots.put = (name, bytes) => {
    const damaged = bytes.slice();
    damaged[20] = (damaged[20] ?? 0) ^ 1;
    return put(name, damaged);
  };
  await expect(owner.compact()).rejects.toThrow('checksum');
  expect(await kept(log)).toEqual([]);
  expect(log.stream.describe().firstSequence).toBe(1);
});

test('a former owner removes nothing: neither records nor snapshots', async () => {
  const log = new KeptLog();
  const former = await log.take();
  for (let round = 0; round < 2; round += 1) {
    await former.enqueue(10);
    await former.compact();
  }
  await former.enqueue(5);
  const next = await log.take();
  const before = [log.stream.describe().firstSequence, new Set(await log.snapshots.list())] as const;
  await expect(former.compact()).rejects.toThrow();
  const after = await log.snapshots.list();
  expect(log.stream.describe().firstSequence).toBe(before[0]);
  expect([...before[1]].filter((name) => !after.includes(name))).toEqual([]);
  expect(former.losses).toHaveLength(1);
  // What it wrote is true all the same, and goes with the next truncation.
  await next.compact();
  expect(await kept(log)).toHaveLength(2);
  expect(next.losses).toEqual([]);
});

test('renewing the fence does not lengthen leases, taking the partition does', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(1);
  await owner.dequeue({ lease: '60s' });
  const leaseEnd = () => owner.partition.table.item(1)?.lease?.expiresAt ?? 0;
  const given = leaseEnd();
  await log.clock.advance(10_000);
  await owner.compact();
  expect(leaseEnd()).toBe(given);
  await owner.drain();
  const next = await log.take(owner.store);
  expect(next.partition.table.item(1)?.lease?.expiresAt).toBeGreaterThanOrEqual(given + 10_000);
  // Replayed from the log alone, the lease is the same.
  await next.drain();
});

test('requests that come while a fence is renewed are decided after it', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(10);
  const renewed = owner.partition.renewFence();
  const answers = Array.from({ length: 20 }, () => owner.enqueue(1));
  expect(await log.clock.until(Promise.all(answers))).toEqual(answers.map(() => 'done'));
  expect(await log.clock.until(renewed)).toBe(log.stream.lastFence);
  expect([owner.count, owner.losses]).toEqual([30, []]);
});

/** Lets the compactor do what it finds due. */
function started(log: KeptLog, owner: LogOwner, intervalMs = 3_600_000): LogCompactor {
  const compactor = new LogCompactor({
    partitions: [{ number: 0, partition: owner.partition, snapshots: log.snapshots }],
    clock: log.clock,
    log: createLog('test', 'silent'),
    intervalMs,
  });
  compactor.start();
  return compactor;
}

test('a small log takes any number of records, and its size is what the stream says', async () => {
  const log = new KeptLog({ bytesMax: 200_000 });
  const owner = await log.take();
  const compactor = started(log, owner);
  for (let record = 0; record < 200; record += 1) {
    expect(await owner.enqueue(20, 'x'.repeat(100))).toBe('done');
    await log.clock.advance(500);
    expect(log.stream.describe().bytes).toBeLessThan(160_000);
  }
  expect(owner.partition.gauge.appendedBytes).toBeGreaterThan(400_000);
  await log.clock.until(compactor.stop());
  await owner.drain();
  expect((await log.take(new MemoryStore())).count).toBe(4_000);
});

test('a log that is full of what two snapshots hold already is freed, though nothing more is appended', async () => {
  const log = new KeptLog({ bytesMax: 200_000 });
  const owner = await log.take();
  for (let record = 0; ; record += 1) if ((await owner.enqueue(20, 'x'.repeat(100))) !== 'done') break;
  const compactor = started(log, owner);
  await log.clock.advance(10_000);
  expect(log.stream.describe().bytes).toBeLessThan(20_000);
  expect(await owner.enqueue(20)).toBe('done');
  await log.clock.until(compactor.stop());
});

test('a log that changed is snapshotted after the interval, twice, and one that did not is left alone', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  const compactor = started(log, owner, 60_000);
  await log.clock.advance(300_000);
  expect(await log.snapshots.list()).toEqual([]);
  await owner.enqueue(1);
  await log.clock.advance(1_000);
  expect(await kept(log)).toHaveLength(1);
  await log.clock.advance(300_000);
  const both = await kept(log);
  expect(both).toHaveLength(2);
  expect(log.stream.describe().firstSequence).toBeGreaterThan(2);
  await log.clock.advance(300_000);
  expect(await kept(log)).toEqual(both);
  await owner.enqueue(1);
  await log.clock.advance(1_000);
  const two = await kept(log);
  expect(two).toHaveLength(2);
  await owner.enqueue(1);
  await log.clock.advance(58_000);
  expect(await kept(log)).toEqual(two);
  await log.clock.advance(2_000);
  expect(await kept(log)).not.toEqual(two);
  await log.clock.until(compactor.stop());
});

test('a restart does not begin the interval anew, nor count what was snapshotted already', async () => {
  const log = new KeptLog({ bytesMax: 1_000_000 });
  const first = await log.take();
  await first.enqueue(300, 'x'.repeat(1_000));
  await first.compact();
  const before = await log.snapshots.list();
  await first.drain();
  const second = await log.take(first.store);
  const compactor = started(log, second);
  await second.enqueue(1);
  await log.clock.advance(60_000);
  expect(await log.snapshots.list()).toEqual(before);
  await log.clock.advance(3_600_000);
  expect(await log.snapshots.list()).not.toEqual(before);
  await log.clock.until(compactor.stop());
});

test('a stopped compactor ends at once, whatever its store is doing', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(10);
  log.snapshots.put = () => new Promise(() => undefined);
  const compacting = owner.compact().catch((error: unknown) => error);
  await log.clock.advance(10);
  await owner.drain();
  expect(String(await compacting)).toContain('gives the partitions up');
});

test('a snapshot whose parts are gone is none: the log stays as long as it must', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(10);
  await owner.compact();
  const [newest] = await kept(log);
  const { firstSequence } = log.stream.describe();
  const parts = (await log.snapshots.list()).filter(
    (name) => readName(name)?.snapshot === newest?.snapshot && name !== manifestName(newest?.snapshot ?? ''),
  );
  await log.snapshots.remove(parts);
  await owner.enqueue(10);
  // One of the two that follow is the first whole one besides the older one.
  const list = log.snapshots.list.bind(log.snapshots);
  let lists = 0;
  log.snapshots.list = () => {
    lists += 1;
    return lists > 1 ? Promise.reject(new Error('enough')) : list();
  };
  await expect(owner.compact()).rejects.toThrow('enough');
  expect(log.stream.describe().firstSequence).toBe(firstSequence);
});
