import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { decodeItem } from '#services/queue-broker/item-codec.ts';
import { LmdbStore } from '#services/queue-broker/lmdb-store.ts';
import { MemoryStore } from '#services/queue-broker/memory-store.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { VirtualStream } from '#tests/support/virtual-log.ts';
import { KeptLog, type LogOwner } from './kept-log.ts';

// What the first broker left, byte by byte: whoever changes a format finds here whether it can still be read.

interface Left {
  readonly records: readonly { readonly kind: 'fence' | 'batch'; readonly data: string }[];
  readonly items: readonly { readonly order: number; readonly payload: string }[];
}

const fixtures = join(import.meta.dirname, '..', '..', 'fixtures', 'queue-broker');

let left: Left;
let path: string;

beforeEach(async () => {
  left = JSON.parse(await readFile(join(fixtures, 'log-1.json'), 'utf8')) as Left;
  path = await mkdtemp(join(tmpdir(), 'trivet-older-'));
});

afterEach(() => rm(path, { recursive: true, force: true }));

function oldLog(): KeptLog {
  const log = new KeptLog();
  const stream = new VirtualStream();
  for (const { kind, data } of left.records) {
    const { lastFence } = stream;
    stream.store({ kind, data: Buffer.from(data, 'base64'), expectedFence: lastFence });
  }
  return Object.assign(log, { stream });
}

async function oldTable(): Promise<LmdbStore> {
  const text = await readFile(join(fixtures, 'table-1.txt'), 'utf8');
  await writeFile(join(path, 'data.mdb'), gunzipSync(Buffer.from(text, 'base64')));
  return new LmdbStore(path);
}

const itemsOf = ({ partition: { table } }: LogOwner) =>
  left.items.map(({ order }) => {
    const item = table.item(order);
    return {
      order,
      queue: item?.queue,
      state: item?.state,
      band: item?.band,
      attempt: item?.attempt,
      token: item?.token,
      key: item?.key ?? null,
      group: item?.group ?? null,
      transitions: item?.transitions.map(({ why }) => why),
      payload: Buffer.from(table.payload(order) ?? []).toString(),
    };
  });

test('a log of version 1 gives the table that its broker had', async () => {
  const owner = await oldLog().take(new MemoryStore());
  expect(itemsOf(owner)).toEqual(left.items);
  expect(owner.partition.table.queue('paused-queue')?.paused).toBe(true);
});

test('a table of version 1 is taken up where it ends, and the log follows it', async () => {
  const store = await oldTable();
  const stored = store.position()?.applied.sequence ?? 0;
  expect(stored).toBeGreaterThan(1);
  expect(stored).toBeLessThan(left.records.length);
  const owner = await oldLog().take(store);
  expect(itemsOf(owner)).toEqual(left.items);
  const { table } = owner.partition;
  expect(table.queue('paused-queue')?.paused).toBe(true);
  expect(table.duplicateOf('mail', 'k1', table.applied.at)).toBe(1);
  expect(table.item(3)?.attempts[0]?.error).toEqual({ message: 'broken', type: 'Net', stack: 'at x' });
  expect(table.item(1)).toMatchObject({ headers: { trace: 'ü' } });
  expect(await owner.enqueue(1)).toBe('done');
  await owner.drain();
});

test('a snapshot of a table of version 1 is whole: it can be loaded without that table and without its log', async () => {
  const log = oldLog();
  const owner = await log.take(await oldTable());
  await owner.compact();
  await owner.drain();
  expect(log.stream.describe().firstSequence).toBeGreaterThan(left.records.length);
  const rebuilt = await log.take(new MemoryStore());
  expect(itemsOf(rebuilt)).toEqual(left.items);
  expect(rebuilt.partition.table.queue('paused-queue')?.paused).toBe(true);
});

test('a row that is newer than this broker is refused by its version', () => {
  for (const version of [9, 100]) {
    const read = () => decodeItem(Buffer.from([version, 0, 0, 0]));
    expect(read).toThrow(StartRefused);
    expect(read).toThrow(`a row has version ${version}`);
  }
});
