import { decode, encode, msgpack } from '#shared/protocol/encoding.ts';
import { type Environment, type Table, openEnvironment } from '#shared/runtime/lmdb.ts';
import { type Figures, addFigures, emptyFigures } from './core/figures.ts';
import type { LogEntry } from './core/interpret.ts';
import type { Change, Marker, Recovered, StateStore } from './collector-service.ts';
import { SeriesRows } from './series-rows.ts';

type EntryKind = LogEntry['kind'];

/**
 * Totals, figures, the consumed sequences and recent records in LMDB. What was counted and that it was counted are
 * one transaction, so a message that comes again after a crash is never counted twice.
 */
export class LmdbStateStore implements StateStore {
  readonly #environment: Environment;
  readonly #meta: Table<string>;
  readonly #series: SeriesRows;
  readonly #markers: Table<number>;
  readonly #recent: Readonly<Record<EntryKind, RecentTable>>;

  /** @param recentMax records of each kind that are kept for queries */
  constructor(path: string, recentMax: number) {
    this.#environment = openEnvironment({ path });
    this.#meta = this.#environment.table('meta');
    this.#series = new SeriesRows(this.#environment);
    this.#markers = this.#environment.table('markers');
    const recent = (kind: EntryKind) => new RecentTable(this.#environment.table(`recent-${kind}`), recentMax);
    this.#recent = { event: recent('event'), error: recent('error'), log: recent('log') };
  }

  async recover(stream: string): Promise<Recovered> {
    const markers = new Map<number, Marker>();
    if (this.#get('stream') === stream) {
      for (const { key, value } of this.#markers.getRange()) markers.set(key, decoded(value) as Marker);
    } else {
      // Another stream counts from 1 again: the sequences of the former one would hide its messages.
      const known = [...this.#markers.getKeys()];
      await this.#environment.transaction(() => {
        for (const sequence of known) void this.#markers.remove(sequence);
        void this.#meta.put('stream', encoded(stream));
      });
    }
    const figures = emptyFigures();
    const kept = this.#get('figures') as Figures | undefined;
    if (kept !== undefined) addFigures(figures, kept);
    return { markers, figures, series: this.#series.read() };
  }

  async commit(change: Change): Promise<void> {
    // Encoded before anything is awaited: the objects go on changing.
    const figures = encoded(change.figures);
    const writeSeries = this.#series.change(change.created, change.series);
    const markers = [...change.markers].map(([sequence, marker]) => [sequence, encoded(marker)] as const);
    await this.#environment.transaction(() => {
      void this.#meta.put('figures', figures);
      writeSeries();
      for (const [sequence, value] of markers) void this.#markers.put(sequence, value);
      for (const sequence of change.forgotten) void this.#markers.remove(sequence);
      for (const entry of change.recent) this.#recent[entry.kind].add(entry);
    });
    // On the disk, not on its way there: the message is acknowledged next.
    await this.#environment.flushed();
  }

  recent(kind: EntryKind, limit: number, isWanted: (entry: LogEntry) => boolean): readonly LogEntry[] {
    return this.#recent[kind].newest(limit, isWanted);
  }

  close(): Promise<void> {
    return this.#environment.close();
  }

  #get(name: string): unknown {
    const value = this.#meta.get(name);
    return value === undefined ? undefined : decoded(value);
  }
}

/** The newest records of one kind, numbered as they came; the oldest make room. */
class RecentTable {
  readonly #table: Table<number>;
  readonly #max: number;
  #next: number;

  constructor(table: Table<number>, max: number) {
    this.#table = table;
    this.#max = max;
    const [last] = [...table.getKeys({ reverse: true, limit: 1 })];
    this.#next = (last ?? 0) + 1;
  }

  /** Inside a transaction. */
  add(entry: LogEntry): void {
    if (this.#max === 0) return;
    void this.#table.put(this.#next, encoded(entry));
    if (this.#next > this.#max) void this.#table.remove(this.#next - this.#max);
    this.#next += 1;
  }

  newest(limit: number, isWanted: (entry: LogEntry) => boolean): readonly LogEntry[] {
    const found: LogEntry[] = [];
    for (const { value } of this.#table.getRange({ reverse: true })) {
      if (found.length >= limit) break;
      const entry = decoded(value) as LogEntry;
      if (isWanted(entry)) found.push(entry);
    }
    return found;
  }
}

const encoded = (value: unknown): Buffer => Buffer.from(encode(value, msgpack));

function decoded(value: Buffer): unknown {
  const result = decode(value, msgpack);
  // Only this file writes these tables: what cannot be read is damage, and the process must not go on with it.
  if (!result.ok) throw new Error(`the collector's data cannot be read: ${result.error.message}`);
  return result.value;
}
