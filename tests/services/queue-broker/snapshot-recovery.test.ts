import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { emptyChanges } from '#services/queue-broker/core/overlay.ts';
import type { ItemStore } from '#services/queue-broker/item-store.ts';
import { LmdbStore } from '#services/queue-broker/lmdb-store.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { encodeManifest, manifestName, partName, readName } from '#services/queue-broker/snapshot-format.ts';
import { countingSnapshots, readManifest } from '#services/queue-broker/snapshots.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { packRecord } from '#shared/runtime/record-codec.ts';
import { KeptLog } from './kept-log.ts';
import { contents } from './table-checks.ts';

/** A log whose beginning is gone, with two snapshots and some records after them. */
async function truncated(): Promise<{ log: KeptLog; store: ItemStore; items: number }> {
  const log = new KeptLog();
  const owner = await log.take();
  for (let record = 0; record < 5; record += 1) await owner.enqueue(100, 'x'.repeat(2_000));
  await owner.dequeue({ max: 20, lease: '1h' });
  await owner.compact();
  await owner.enqueue(50);
  await owner.dequeue({ max: 5, lease: '1h' });
  await owner.drain();
  expect(log.stream.describe().firstSequence).toBeGreaterThan(5);
  return { log, store: owner.store, items: 550 };
}

const total = (owner: {
  partition: { table: { queue: (name: string) => { counts: object } | undefined } };
}) =>
  Object.values(owner.partition.table.queue('mail')?.counts ?? {}).reduce(
    (sum: number, count) => sum + Number(count),
    0,
  );

const newestSnapshots = async (log: KeptLog) =>
  countingSnapshots(await log.snapshots.list(), 'virtual').map(({ snapshot }) => snapshot);

/** Flips one bit of an object. */
async function damage(log: KeptLog, name: string): Promise<void> {
  const bytes = (await log.snapshots.get(name)) ?? new Uint8Array();
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 16;
  await log.snapshots.put(name, bytes);
}

test('a lost disk is rebuilt from snapshot and log, as if the log had never been truncated', async () => {
  const { log, store, items } = await truncated();
  const fromDisk = await log.take(store);
  const expected = contents(fromDisk.partition.table, ['1', '2']);
  expect(total(fromDisk)).toBe(items);
  await fromDisk.drain();
  const path = await mkdtemp(join(tmpdir(), 'trivet-snapshot-'));
  const rebuilt = await log.take(new LmdbStore(path));
  const { applied, ...rest } = contents(rebuilt.partition.table, ['1', '2']);
  // Leases count again with each owner, so the two differ in them and in time.
  const known = expected.items.map((item) => ({ ...item, lease: item.lease?.leaseMs }));
  expect(rest.items.map((item) => ({ ...item, lease: item.lease?.leaseMs }))).toEqual(known);
  expect(rest.payloads).toEqual(expected.payloads);
  expect(applied.nextOrder).toBe(expected.applied.nextOrder);
  expect(await rebuilt.enqueue(1)).toBe('done');
  await rebuilt.drain();
  await rm(path, { recursive: true, force: true });
});

test('a table that ends before the log begins is replaced by a snapshot', async () => {
  const log = new KeptLog();
  const former = await log.take();
  await former.enqueue(10);
  await former.drain();
  const other = await log.take();
  await other.enqueue(10);
  await other.compact();
  await other.enqueue(10);
  await other.end();
  const again = await log.take(former.store);
  expect(again.count).toBe(30);
});

test('of a damaged newest snapshot the older one takes the place', async () => {
  const { log, items } = await truncated();
  const [newest = ''] = await newestSnapshots(log);
  await damage(log, partName(newest, 0));
  expect(total(await log.take(new MemoryStore()))).toBe(items);
});

test.each([
  ['a part of each is damaged', (log: KeptLog, name: string) => damage(log, partName(name, 0)), 'checksum'],
  ['each manifest is damaged', (log: KeptLog, name: string) => damage(log, manifestName(name)), 'checksum'],
  [
    'a part of each is missing',
    (log: KeptLog, name: string) => log.snapshots.remove([partName(name, 0)]),
    'missing',
  ],
])('without a whole snapshot nothing is served, and it is said why: %s', async (_, harm, why) => {
  const { log } = await truncated();
  for (const name of await newestSnapshots(log)) await harm(log, name);
  await expect(log.take(new MemoryStore())).rejects.toThrow(
    new RegExp(`what lies between is gone, and no snapshot closes the gap.*${why}.*docs/operations.md`),
  );
});

test('without any snapshot nothing is served, and it is said so', async () => {
  const { log } = await truncated();
  await log.snapshots.remove(await log.snapshots.list());
  await expect(log.take(new MemoryStore())).rejects.toThrow('there is no snapshot of this log');
});

/** A disk that fails at its n-th write from now on, as if the process had died there. */
function dyingAt(rows: MemoryStore, writes: number): ItemStore {
  let left = writes;
  const write = <T>(act: () => Promise<T>): Promise<T> => {
    left -= 1;
    return left < 0 ? Promise.reject(new Error('killed')) : act();
  };
  return {
    position: () => rows.position(),
    item: (order) => rows.item(order),
    payload: (order) => rows.payload(order),
    dedup: (queue, key) => rows.dedup(queue, key),
    items: () => rows.items(),
    record: (key) => rows.record(key),
    records: () => rows.records(),
    commit: (changes, position) => write(() => rows.commit(changes, position)),
    clear: (position) => write(() => rows.clear(position)),
    flushed: () => rows.flushed(),
    view: () => rows.view(),
    close: () => rows.close(),
  };
}

test('a broker that dies while it loads a snapshot loads it again, wherever it died', async () => {
  const { log, items } = await truncated();
  const rows = new MemoryStore();
  let deaths = 0;
  for (let writes = 0; ; writes += 1) {
    const died = await log.take(dyingAt(rows, writes)).then(
      () => false,
      (error: unknown) => String(error).includes('killed'),
    );
    if (!died) break;
    deaths += 1;
    if (writes > 0) expect(rows.position()?.loading).toBe(true);
  }
  expect(deaths).toBeGreaterThanOrEqual(3);
  expect(rows.position()?.loading).toBeUndefined();
  expect(total(await log.take(rows))).toBe(items);
});

test('a table whose loading was interrupted is begun anew from the log where the log is whole', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(10);
  await owner.drain();
  const position = owner.store.position();
  if (position === undefined) throw new Error('nothing was stored');
  await owner.store.clear({ ...position, loading: true });
  const again = await log.take(owner.store);
  expect(again.count).toBe(10);
  expect(again.store.position()?.loading).toBeUndefined();
});

test('a log that was restored from a backup and went on is not the log of this table', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(1);
  const backup = log.stream.copy();
  await owner.enqueue(1, 'lost with the backup');
  await owner.drain();
  const restored = new KeptLog();
  Object.assign(restored, { stream: backup });
  const other = await restored.take();
  await other.enqueue(1, 'something else');
  await other.enqueue(1, 'something else');
  await other.end();
  await expect(restored.take(owner.store)).rejects.toThrow(
    /record \d+ of the log is not the one that the table has applied.*move the table's folder away/,
  );
});

test('a snapshot of another log is not loaded', async () => {
  const { log } = await truncated();
  for (const name of await log.snapshots.list()) {
    const bytes = (await log.snapshots.get(name)) ?? new Uint8Array();
    await log.snapshots.put(name.replace('virtual/', 'another log/'), bytes);
    await log.snapshots.remove([name]);
  }
  await expect(log.take(new MemoryStore())).rejects.toThrow('there is no snapshot of this log');
});

test('a snapshot that a newer broker wrote is not read; the older one is', async () => {
  const { log, items } = await truncated();
  const [newest = '', older = ''] = await newestSnapshots(log);
  const write = async (name: string) => {
    const manifest = await readManifest(log.snapshots, name);
    await log.snapshots.put(manifestName(name), encodeManifest({ ...manifest, version: 9 as 1 }));
  };
  await write(newest);
  expect(total(await log.take(new MemoryStore()))).toBe(items);
  await write(older);
  await expect(log.take(new MemoryStore())).rejects.toThrow('it has version 9, this broker reads 1');
});

test('a table or a log of a newer broker ends the start with the code for a part that is too old', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(1);
  await owner.drain();
  const position = owner.store.position();
  if (position === undefined) throw new Error('nothing was stored');
  const newer = new MemoryStore();
  await newer.clear({ ...position, version: 9 });
  const byTable = await log.take(newer).catch((error: unknown) => error);
  expect(byTable).toBeInstanceOf(StartRefused);
  expect(byTable).toMatchObject({ exitCode: 3, message: expect.stringContaining('the table has version 9') });

  const { lastSequence, lastFence } = log.stream.describe();
  log.stream.store({
    kind: 'batch',
    data: packRecord({ version: 99, epoch: lastFence, at: 0, facts: [] }),
    expectedFence: lastFence,
    expectedLast: lastSequence,
  });
  const byLog = await log.take(owner.store).catch((error: unknown) => error);
  expect(byLog).toMatchObject({ exitCode: 3, message: expect.stringContaining('has version 99') });
});

test('a table of before there were marks is taken as it is', async () => {
  const log = new KeptLog();
  const owner = await log.take();
  await owner.enqueue(3);
  await owner.drain();
  const position = owner.store.position();
  if (position === undefined) throw new Error('nothing was stored');
  const { applied, logIdentity } = position;
  await owner.store.commit(emptyChanges(), { applied, logIdentity });
  expect((await log.take(owner.store)).count).toBe(3);
});

test('names that nobody gave are no snapshots', () => {
  for (const name of ['', 'manifest', 'virtual/1-1/manifest', 'virtual/part-1', 'a/b/c'])
    expect(readName(name)).toBeUndefined();
});
