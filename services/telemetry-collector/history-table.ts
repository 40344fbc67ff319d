import type { Environment, Table, Writes } from '#shared/runtime/lmdb.ts';
import { type HistoryRow, type Tier, numbersPerPoint } from './core/history.ts';

export interface HistoryPoint {
  readonly atMs: number;
  readonly value: number;
  readonly sum: number;
}

/** Steps of the history in LMDB, by tier and time, bounded by each tier's age and by bytes in all. */
export class HistoryTable {
  readonly #table: Table<number[]>;
  readonly #tiers: readonly Tier[];
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(environment: Environment, tiers: readonly Tier[], bytesMax: number) {
    this.#table = environment.table('history');
    this.#tiers = tiers;
    this.#bytesMax = bytesMax;
    for (const { value } of this.#table.getRange()) this.#bytes += value.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A step that is written twice (before and after a restart) is what came last, and more. */
  write(rows: readonly HistoryRow[], nowMs: number, writes: Writes): void {
    if (rows.length === 0) return;
    for (const { tier, atMs, numbers } of rows) {
      const key = [tier, atMs];
      const known = this.#table.get(key);
      const merged = known === undefined ? numbers : later(numbersOf(known), numbers);
      const row = Buffer.from(merged.buffer as ArrayBuffer, merged.byteOffset, merged.byteLength);
      this.#bytes += row.length - (known?.length ?? 0);
      writes.put(this.#table, key, row);
    }
    this.#trim(nowMs, writes);
  }

  /** The points of one series, from the oldest to the newest. */
  points(id: number, tier: number, fromMs: number, toMs: number): readonly HistoryPoint[] {
    const found: HistoryPoint[] = [];
    for (const { key, value } of this.#table.getRange({ start: [tier, fromMs], end: [tier, toMs + 1] })) {
      const numbers = numbersOf(value);
      for (let at = 0; at < numbers.length; at += numbersPerPoint) {
        if (numbers[at] !== id) continue;
        found.push({ atMs: Number(key[1]), value: numbers[at + 1] ?? 0, sum: numbers[at + 2] ?? 0 });
        break;
      }
    }
    return found;
  }

  #trim(nowMs: number, writes: Writes): void {
    // Until it is committed the table still shows what is removed here: nothing is to be subtracted twice.
    const removed = new Set<string>();
    for (const [tier, { ageMsMax }] of this.#tiers.entries()) {
      for (const { key, value } of this.#table.getRange({
        start: [tier, 0],
        end: [tier, nowMs - ageMsMax],
      })) {
        this.#remove(key, value.length, writes);
        removed.add(String(key));
      }
    }
    // The finest go first: they are the most, and the coarser ones still tell of that time.
    for (const { key, value } of this.#bytes > this.#bytesMax ? this.#table.getRange() : []) {
      if (this.#bytes <= this.#bytesMax) return;
      if (!removed.has(String(key))) this.#remove(key, value.length, writes);
    }
  }

  #remove(key: number[], bytes: number, writes: Writes): void {
    writes.remove(this.#table, key);
    this.#bytes -= bytes;
  }
}

/** A copy, since a row need not begin where doubles may. */
const numbersOf = (row: Buffer): Float64Array => new Float64Array(new Uint8Array(row).buffer);

function later(one: Float64Array, other: Float64Array): Float64Array {
  const points = new Map<number, Float64Array>();
  for (const numbers of [one, other])
    for (let at = 0; at < numbers.length; at += numbersPerPoint)
      points.set(numbers[at] ?? 0, numbers.subarray(at, at + numbersPerPoint));
  return Float64Array.from([...points.values()].flatMap((point) => [...point]));
}
