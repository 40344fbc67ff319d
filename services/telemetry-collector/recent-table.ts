import type { Table, Writes } from '#shared/runtime/lmdb.ts';

export interface RecentLimits {
  readonly countMax: number;
  /** Of one kind. */
  readonly bytesMax: number;
  readonly ageMsMax: number;
}

interface Row {
  readonly records: number;
  readonly bytes: number;
  readonly atMs: number;
}

// Rows that one commit removes: more would hold up what it commits.
const removedMax = 1_000;

/**
 * The newest records of one kind, those of one commit to a row; the oldest rows make room, by count, by bytes and by
 * age. Never fewer than `countMax` records stay for the count's sake, and up to a row more.
 */
export class RecentTable {
  readonly #table: Table<number>;
  readonly #limits: RecentLimits;
  /** Size and time of each row, the oldest first. */
  readonly #rows = new Map<number, Row>();
  #bytes = 0;
  #next: number;
  #removed = 0;

  #records = 0;

  /** @param rowOf reads of a row that was written before how many records it holds, and when they came */
  constructor(
    table: Table<number>,
    limits: RecentLimits,
    rowOf: (row: Buffer) => { readonly records: number; readonly atMs: number },
  ) {
    this.#table = table;
    this.#limits = limits;
    let last = 0;
    for (const { key, value } of table.getRange()) {
      this.#keep(key, { bytes: value.length, ...rowOf(value) });
      last = key;
    }
    this.#next = last + 1;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get records(): number {
    return this.#records;
  }

  /** Records that made room, since this process began. */
  get removed(): number {
    return this.#removed;
  }

  /** Records that would have been the first to go. */
  skip(records: number): void {
    if (this.#limits.countMax > 0) this.#removed += records;
  }

  /** @param atMs when the collector took it */
  add(
    { row, records }: { readonly row: Buffer; readonly records: number },
    atMs: number,
    writes: Writes,
  ): void {
    if (this.#limits.countMax === 0) return;
    writes.put(this.#table, this.#next, row);
    this.#keep(this.#next, { records, bytes: row.length, atMs });
    this.#next += 1;
  }

  /** After what was added. */
  trim(nowMs: number, writes: Writes): void {
    const { countMax, bytesMax, ageMsMax } = this.#limits;
    let left = removedMax;
    for (const [key, { records, bytes, atMs }] of this.#rows) {
      const isTooMuch = this.#records - records >= countMax || this.#bytes > bytesMax;
      if ((!isTooMuch && atMs >= nowMs - ageMsMax) || left === 0) return;
      writes.remove(this.#table, key);
      this.#rows.delete(key);
      this.#bytes -= bytes;
      this.#records -= records;
      this.#removed += records;
      left -= 1;
    }
  }

  /** From the newest to the oldest. */
  *newestFirst(): Iterable<Buffer> {
    for (const { value } of this.#table.getRange({ reverse: true })) yield value;
  }

  #keep(key: number, row: Row): void {
    this.#rows.set(key, row);
    this.#bytes += row.bytes;
    this.#records += row.records;
  }
}
