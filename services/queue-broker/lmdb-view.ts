import type { Environment, ReadTransaction, Table } from '#shared/runtime/lmdb.ts';
import { packRecord } from '#shared/runtime/record-codec.ts';
import { queueRecordKey } from './core/queue-records.ts';
import { type ItemBlocks, byOrder } from './item-blocks.ts';
import { encodeItem } from './item-codec.ts';
import { decodeKey } from './key-codec.ts';
import type { StoreView, StoredPosition, StoredRow } from './item-store.ts';

export interface ViewedTables {
  readonly environment: Environment;
  readonly items: Table<number>;
  readonly blocks: ItemBlocks;
  readonly payloads: Table<number>;
  readonly dedup: Table<[string, string]>;
  readonly records: Table<string>;
  readonly paused: Table<string>;
  readonly position: (transaction: ReadTransaction['transaction']) => StoredPosition | undefined;
}

/** Rows and bytes of one chunk: some hundred microseconds of reading. */
const chunkRows = 256;
const chunkBytes = 262_144;

/** Opens a view of a partition's tables: a read transaction that is held until the view is closed. */
export function openView(tables: ViewedTables): StoreView {
  const held = tables.environment.readTransaction();
  const position = tables.position(held.transaction);
  let isOpen = true;
  return {
    position,
    rows: () => chunks(tables, held.transaction, position?.applied.at ?? 0, () => isOpen),
    close: () => {
      if (isOpen) held.close();
      isOpen = false;
    },
  };
}

// Asynchronous because the port is: other stores must ask for their rows.
// oxlint-disable-next-line require-await
async function* chunks(
  tables: ViewedTables,
  transaction: ReadTransaction['transaction'],
  nowMs: number,
  isOpen: () => boolean,
): AsyncIterable<readonly StoredRow[]> {
  let chunk: StoredRow[] = [];
  let bytes = 0;
  for (const row of rowsOf(tables, transaction, nowMs)) {
    chunk.push(row);
    bytes += 'bytes' in row ? row.bytes.length : 0;
    if (chunk.length < chunkRows && bytes < chunkBytes) continue;
    yield chunk;
    if (!isOpen()) throw new Error('the view of the rows was closed while it was read');
    chunk = [];
    bytes = 0;
  }
  if (chunk.length > 0) yield chunk;
}

type ItemRow = StoredRow & { readonly kind: 'item' };

function* itemRows(items: Table<number>, transaction: ReadTransaction['transaction']): Iterable<ItemRow> {
  for (const { key, value } of items.getRange({ transaction }))
    yield { kind: 'item', order: key, bytes: value };
}

function* freshRows(blocks: ItemBlocks, transaction: ReadTransaction['transaction']): Iterable<ItemRow> {
  for (const item of blocks.itemsIn(transaction))
    yield { kind: 'item', order: item.order, bytes: encodeItem(item) };
}

function* rowsOf(
  { items, blocks, payloads, dedup, records, paused }: ViewedTables,
  transaction: ReadTransaction['transaction'],
  nowMs: number,
): Iterable<StoredRow> {
  yield* byOrder(freshRows(blocks, transaction), itemRows(items, transaction));
  for (const { key, value } of payloads.getRange({ transaction }))
    yield { kind: 'payload', order: key, bytes: value };
  for (const { key, value } of dedup.getRange({ transaction })) {
    const entry = decodeKey(value);
    // A key whose window is over stands for nothing; it is only not removed yet.
    if (entry.until > nowMs) yield { kind: 'key', queue: key[0], key: key[1], entry };
  }
  for (const queue of paused.getKeys({ transaction })) {
    if (records.get(queueRecordKey(queue), { transaction }) === undefined)
      yield {
        kind: 'record',
        key: queueRecordKey(queue),
        bytes: packRecord({ paused: true, settings: {} }),
      };
  }
  for (const { key, value } of records.getRange({ transaction })) yield { kind: 'record', key, bytes: value };
}
