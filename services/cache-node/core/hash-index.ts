import type { IntColumn } from './slot-column.ts';

/** Cells of a table before it is split in two: splitting one takes some tens of microseconds. */
const tableCellsMax = 4_096;
const tableCellsMin = 16;
/** Part of the cells that may be in use: probes stay short. */
const loadMax = 0.8;

interface Table {
  /** Slots plus one; 0 is an empty cell. */
  cells: Int32Array;
  used: number;
  /** How many of the hash's highest bits all slots of the table share. */
  readonly depth: number;
}

/**
 * Slots by hash: a directory of small open-addressed tables with linear probing. It grows by splitting one table, so
 * that no call takes longer for a large index than for a small one, and all of it lies in typed arrays.
 * Source: Fagin, Nievergelt, Pippenger, Strong, "Extendible hashing", ACM TODS, 1979; deletion without tombstones is
 * Knuth's Algorithm R (The Art of Computer Programming, vol. 3, 6.4).
 */
export class HashIndex {
  /** The hash of each slot. */
  readonly #hashes: IntColumn;
  #directory: Table[] = [emptyTable(0, tableCellsMin)];
  #depth = 0;

  /** @param hashes the hash of each slot that is in the index, as an integer of 32 bits */
  constructor(hashes: IntColumn) {
    this.#hashes = hashes;
  }

  /** The slot with that hash for which `matches` is true; -1 when there is none. */
  find(hash: number, matches: (slot: number) => boolean): number {
    const { cells } = this.#tableOf(hash);
    const mask = cells.length - 1;
    const wanted = hash | 0;
    for (let cell = hash & mask; ; cell = (cell + 1) & mask) {
      const slot = (cells[cell] ?? 0) - 1;
      if (slot < 0) return -1;
      if (this.#hashes.get(slot) === wanted && matches(slot)) return slot;
    }
  }

  /** Adds a slot that is not in the index; its hash is in the column already. */
  add(hash: number, slot: number): void {
    let table = this.#tableOf(hash);
    while (table.used + 1 > table.cells.length * loadMax) {
      this.#enlarge(table, hash);
      table = this.#tableOf(hash);
    }
    place(table, hash, slot);
  }

  /** Takes out a slot that is in the index. */
  remove(hash: number, slot: number): void {
    const table = this.#tableOf(hash);
    const { cells } = table;
    const mask = cells.length - 1;
    let hole = hash & mask;
    while (cells[hole] !== slot + 1) hole = (hole + 1) & mask;
    table.used -= 1;
    for (let cell = (hole + 1) & mask; ; cell = (cell + 1) & mask) {
      const next = cells[cell] ?? 0;
      if (next === 0) break;
      const home = this.#hashes.get(next - 1) & mask;
      // What hashes to between the hole and its cell must stay: a probe would no longer come to it.
      if (((cell - home) & mask) < ((cell - hole) & mask)) continue;
      cells[hole] = next;
      hole = cell;
    }
    cells[hole] = 0;
  }

  /** Bytes of memory that the tables take. */
  get bytes(): number {
    let bytes = 8 * this.#directory.length;
    for (const table of new Set(this.#directory)) bytes += table.cells.byteLength;
    return bytes;
  }

  #tableOf(hash: number): Table {
    return this.#directory[this.#depth === 0 ? 0 : hash >>> (32 - this.#depth)] as Table;
  }

  #enlarge(table: Table, hash: number): void {
    if (table.cells.length < tableCellsMax || table.depth === 32) {
      const cells = table.cells;
      table.cells = new Int32Array(2 * cells.length);
      table.used = 0;
      for (const cell of cells) if (cell !== 0) this.#place(table, cell - 1);
      return;
    }
    if (table.depth === this.#depth) {
      this.#directory = this.#directory.flatMap((one) => [one, one]);
      this.#depth += 1;
    }
    this.#split(table, hash);
  }

  #split(table: Table, hash: number): void {
    const depth = table.depth + 1;
    const halves = [emptyTable(depth, tableCellsMax), emptyTable(depth, tableCellsMax)] as const;
    for (const cell of table.cells) {
      if (cell === 0) continue;
      const isUpper = ((this.#hashes.get(cell - 1) >>> (32 - depth)) & 1) === 1;
      this.#place(halves[isUpper ? 1 : 0], cell - 1);
    }
    const spread = 1 << (this.#depth - table.depth);
    const first = ((hash >>> (32 - this.#depth)) & ~(spread - 1)) >>> 0;
    for (let step = 0; step < spread; step += 1)
      this.#directory[first + step] = halves[step < spread / 2 ? 0 : 1];
  }

  #place(table: Table, slot: number): void {
    place(table, this.#hashes.get(slot), slot);
  }
}

const emptyTable = (depth: number, cells: number): Table => ({
  cells: new Int32Array(cells),
  used: 0,
  depth,
});

function place(table: Table, hash: number, slot: number): void {
  const { cells } = table;
  const mask = cells.length - 1;
  let cell = hash & mask;
  while (cells[cell] !== 0) cell = (cell + 1) & mask;
  cells[cell] = slot + 1;
  table.used += 1;
}
