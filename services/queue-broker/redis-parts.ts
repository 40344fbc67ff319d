import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { DedupEntry } from './core/overlay.ts';
import type { StoredRow } from './item-store.ts';
import { type RowTable, rowTables } from './redis-scripts.ts';
import { type RowChanges, keyName } from './stored-rows.ts';

/**
 * What one script applies: some milliseconds of Redis's time, in which it serves nobody else. Lua hands on some 8,000
 * arguments at most, and a row is two.
 */
const partRowsMax = 2_000;
const partBytesMax = 1_048_576;

/** Groups of one command: [command, number of the table's key, arguments]. */
type Group = readonly ['HSET' | 'HDEL', number, (string | Uint8Array)[]];

/** Gathers rows into parts as the scripts read them. */
export class RedisParts {
  #groups = new Map<string, Group>();
  #rows = 0;
  #bytes = 0;

  get isFull(): boolean {
    return this.#rows >= partRowsMax || this.#bytes >= partBytesMax;
  }

  get isEmpty(): boolean {
    return this.#rows === 0;
  }

  put(table: RowTable, field: string, bytes: Uint8Array): void {
    this.#group('HSET', table).push(field, bytes);
    this.#rows += 1;
    this.#bytes += field.length + bytes.length;
  }

  remove(table: RowTable, field: string): void {
    this.#group('HDEL', table).push(field);
    this.#rows += 1;
    this.#bytes += field.length;
  }

  /** What was gathered; empty again afterwards. */
  take(): Buffer {
    const part = encodeGroups([...this.#groups.values()]);
    this.#groups = new Map();
    this.#rows = 0;
    this.#bytes = 0;
    return part;
  }

  #group(command: 'HSET' | 'HDEL', table: RowTable): (string | Uint8Array)[] {
    const name = `${command} ${table}`;
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = [command, rowTables.indexOf(table) + 2, []];
      this.#groups.set(name, group);
    }
    return group[2];
  }
}

// Redis's cmsgpack is of an age before MessagePack told texts from bytes: bytes are what is a text today (`str 32`).
const arrayOf3 = 0x93;
const array32 = 0xdd;
const text32 = 0xdb;
const headBytes = 5;

function encodeGroups(groups: readonly Group[]): Buffer {
  let size = headBytes;
  for (const [command, , args] of groups) {
    size += 2 + 2 * headBytes + command.length;
    for (const one of args) size += headBytes + Buffer.byteLength(one);
  }
  const part = Buffer.allocUnsafe(size);
  let at = 0;
  const head = (kind: number, length: number): void => {
    part[at] = kind;
    at = part.writeUInt32BE(length, at + 1);
  };
  const bytes = (one: string | Uint8Array): void => {
    head(text32, Buffer.byteLength(one));
    if (typeof one === 'string') {
      at += part.write(one, at);
      return;
    }
    part.set(one, at);
    at += one.length;
  };
  head(array32, groups.length);
  for (const [command, table, args] of groups) {
    part[at] = arrayOf3;
    at += 1;
    bytes(command);
    part[at] = table;
    at += 1;
    head(array32, args.length);
    for (const one of args) bytes(one);
  }
  return part;
}

/** The parts of a commit; at least one, since the position is written with it. */
export function partsOfChanges({ items, payloads, keys, records }: RowChanges): readonly Buffer[] {
  const gathered = new RedisParts();
  const parts: Buffer[] = [];
  const add = (table: RowTable, field: string, bytes: Uint8Array | null): void => {
    if (bytes === null) gathered.remove(table, field);
    else gathered.put(table, field, bytes);
    if (gathered.isFull) parts.push(gathered.take());
  };
  for (const [order, bytes] of items) add('items', String(order), bytes);
  for (const [order, bytes] of payloads) add('payloads', String(order), bytes);
  for (const [name, entry] of keys) add('keys', name, entry === null ? null : packRecord(entry));
  for (const [key, bytes] of records) add('records', key, bytes);
  if (!gathered.isEmpty || parts.length === 0) parts.push(gathered.take());
  return parts;
}

/** The parts of a whole table, one after the other. */
export async function* partsOfRows(rows: AsyncIterable<readonly StoredRow[]>): AsyncIterable<Buffer> {
  const gathered = new RedisParts();
  for await (const chunk of rows) {
    for (const row of chunk) {
      if (row.kind === 'item') gathered.put('items', String(row.order), row.bytes);
      else if (row.kind === 'payload') gathered.put('payloads', String(row.order), row.bytes);
      else if (row.kind === 'record') gathered.put('records', row.key, row.bytes);
      else gathered.put('keys', keyName(row.queue, row.key), packRecord(row.entry));
      if (gathered.isFull) yield gathered.take();
    }
  }
  if (!gathered.isEmpty) yield gathered.take();
}

/** What a scan of one table has found, as changes. Copies: a reply is a part of what was read from the socket. */
export function rowsOfScan(table: RowTable, found: readonly (readonly [Buffer, Buffer])[]): RowChanges {
  const rows = emptyRows();
  for (const [field, value] of found) {
    if (table === 'keys') rows.keys.set(field.toString(), unpackRecord(value) as DedupEntry);
    else if (table === 'records') rows.records.set(field.toString(), Buffer.from(value));
    else rows[table].set(Number(field.toString()), Buffer.from(value));
  }
  return rows;
}

const emptyRows = () => ({
  items: new Map<number, Uint8Array>(),
  payloads: new Map<number, Uint8Array>(),
  keys: new Map<string, DedupEntry>(),
  records: new Map<string, Uint8Array>(),
});
