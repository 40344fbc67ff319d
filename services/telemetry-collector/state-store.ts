import { setImmediate as nextTurn } from 'node:timers/promises';
import { decode, encode, msgpack } from '#shared/protocol/encoding.ts';
import { type Environment, type Table, openEnvironment } from '#shared/runtime/lmdb.ts';
import { type Figures, addFigures, emptyFigures } from './core/figures.ts';
import { packRecordAlone, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { ErrorGroup } from './core/error-groups.ts';
import { type HistoryRow, defaultTiers } from './core/history.ts';
import type { LogEntry } from './core/interpret.ts';
import { type KeptEntry, entryOf, keptOf } from './core/scanned-log.ts';
import { type HistoryPoint, HistoryTable } from './history-table.ts';
import { type RecentLimits, RecentTable } from './recent-table.ts';
import type { Change, Marker, Recovered, StateStore } from './collector-service.ts';
import { DeltaTable } from './delta-table.ts';
import { SeriesRows } from './series-rows.ts';

type EntryKind = LogEntry['kind'];

export interface HistoryLimits extends RecentLimits {
  readonly historyBytesMax: number;
}

/**
 * Totals, figures, the consumed sequences and recent records in LMDB. What was counted and that it was counted are
 * one transaction, so a message that comes again after a crash is never counted twice.
 */
export class LmdbStateStore implements StateStore {
  readonly #environment: Environment;
  readonly #countMax: number;
  readonly #meta: Table<string>;
  readonly #series: SeriesRows;
  readonly #markers: Table<number>;
  readonly #groups: Table<string>;
  readonly #history: HistoryTable;
  readonly #recent: Readonly<Record<EntryKind, RecentTable>>;
  readonly deltas: DeltaTable;

  constructor(path: string, limits: HistoryLimits) {
    this.#environment = openEnvironment({ path });
    this.#countMax = limits.countMax;
    this.#meta = this.#environment.table('meta');
    this.#series = new SeriesRows(this.#environment);
    this.#markers = this.#environment.table('markers');
    this.#groups = this.#environment.table('error-groups');
    this.deltas = new DeltaTable(this.#environment);
    this.#history = new HistoryTable(this.#environment, defaultTiers, limits.historyBytesMax);
    const recent = (kind: EntryKind) =>
      new RecentTable(this.#environment.table(`recent-${kind}`), limits, rowOf);
    this.#recent = { event: recent('event'), error: recent('error'), log: recent('log') };
  }

  async recover(stream: string): Promise<Recovered> {
    const markers = new Map<number, Marker>();
    if (this.#get('stream') === stream) {
      for (const { key, value } of this.#markers.getRange()) markers.set(key, decoded(value) as Marker);
    } else {
      // Another stream counts from 1 again: the sequences of the former one would hide its messages.
      const known = [...this.#markers.getKeys()];
      await this.#environment.transaction((writes) => {
        for (const sequence of known) writes.remove(this.#markers, sequence);
        writes.put(this.#meta, 'stream', encoded(stream));
      });
    }
    const figures = emptyFigures();
    const kept = this.#get('figures') as Figures | undefined;
    if (kept !== undefined) addFigures(figures, kept);
    const groups = [...this.#groups.getRange()].map(({ value }) => unpackRecord(value) as ErrorGroup);
    const accounts = (this.#get('accounts') ?? {}) as Recovered['accounts'];
    return { markers, figures, groups, accounts, series: this.#series.read() };
  }

  async commit(change: Change): Promise<void> {
    // Encoded before anything is awaited: the objects go on changing.
    const figures = encoded(change.figures);
    const accounts = encoded(change.accounts.ended);
    const writeSeries = this.#series.change(change.created, change.series);
    const markers = [...change.markers].map(([sequence, marker]) => [sequence, encoded(marker)] as const);
    const recent = await Promise.all(entryKinds.map((kind) => this.#rowsOf(kind, change)));
    const groups = change.groups.put.map((one) => [one.id, packRecordAlone(one)] as const);
    await this.#environment.transaction((writes) => {
      writes.put(this.#meta, 'figures', figures);
      writes.put(this.#meta, 'accounts', accounts);
      writeSeries(writes);
      for (const [sequence, value] of markers) writes.put(this.#markers, sequence, value);
      for (const sequence of change.forgotten) writes.remove(this.#markers, sequence);
      for (const { kind, rows, skipped } of recent) {
        this.#recent[kind].skip(skipped);
        for (const row of rows) this.#recent[kind].add(row, change.atMs, writes);
      }
      for (const kind of entryKinds) this.#recent[kind].trim(change.atMs, writes);
      for (const [id, group] of groups) writes.put(this.#groups, id, group);
      for (const id of change.groups.removed) writes.remove(this.#groups, id);
      this.#history.write(change.history, change.atMs, writes);
    });
    // On the disk, not on its way there: the message is acknowledged next.
    await this.#environment.flushed();
  }

  recent(kind: EntryKind, limit: number, isWanted: (entry: LogEntry) => boolean): readonly LogEntry[] {
    const found: LogEntry[] = [];
    for (const row of this.#recent[kind].newestFirst()) {
      if (found.length >= limit) break;
      for (const kept of (unpackRecord(row) as RecentRow).entries.toReversed()) {
        if (found.length >= limit) break;
        const entry = entryOf(kept);
        if (isWanted(entry)) found.push(entry);
      }
    }
    return found;
  }

  /** What the history holds of one series. */
  points(...asked: Parameters<HistoryTable['points']>): readonly HistoryPoint[] {
    return this.#history.points(...asked);
  }

  /** How much is kept, and how many records made room. */
  get kept() {
    const kinds = entryKinds.map((kind) => {
      const { records, bytes, removed } = this.#recent[kind];
      return [kind, { records, bytes, removed }] as const;
    });
    return { ...Object.fromEntries(kinds), history: { bytes: this.#history.bytes } };
  }

  /** At the end: steps that are not over would be missing after a restart. */
  async keepHistory(rows: readonly HistoryRow[], nowMs: number): Promise<void> {
    await this.#environment.transaction((writes) => this.#history.write(rows, nowMs, writes));
  }

  close(): Promise<void> {
    return this.#environment.close();
  }

  /**
   * The newest of one kind; what came before them in the same commit would make room at once, and is not written. Row by
   * row, since they are many.
   */
  async #rowsOf(kind: EntryKind, { recent, atMs }: Change) {
    const own = recent.filter((one) => one.kind === kind);
    const skipped = Math.max(0, own.length - this.#countMax);
    const rows: { readonly records: number; readonly row: Buffer }[] = [];
    for (let at = skipped; at < own.length; at += entriesPerRow) {
      if (at > skipped) await nextTurn();
      const entries = own.slice(at, at + entriesPerRow).map(keptOf);
      const row = packRecordAlone({ atMs, entries } satisfies RecentRow);
      rows.push({ records: entries.length, row });
    }
    return { kind, rows, skipped };
  }

  #get(name: string): unknown {
    const value = this.#meta.get(name);
    return value === undefined ? undefined : decoded(value);
  }
}

interface RecentRow {
  readonly atMs: number;
  readonly entries: readonly KeptEntry[];
}

const entryKinds = ['event', 'error', 'log'] as const satisfies readonly EntryKind[];

// Whoever looks for one record reads the whole row.
const entriesPerRow = 256;

function rowOf(row: Buffer): { readonly records: number; readonly atMs: number } {
  const { atMs, entries } = unpackRecord(row) as RecentRow;
  return { records: entries.length, atMs };
}

const encoded = (value: unknown): Buffer => Buffer.from(encode(value, msgpack));

function decoded(value: Buffer): unknown {
  const result = decode(value, msgpack);
  // Only this file writes these tables: what cannot be read is damage, and the process must not go on with it.
  if (!result.ok) throw new Error(`the collector's data cannot be read: ${result.error.message}`);
  return result.value;
}
