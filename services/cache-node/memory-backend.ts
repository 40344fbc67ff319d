import {
  type Applied,
  type Backend,
  type BackendPage,
  type Batch,
  type Claim,
  type PageQuery,
  type Row,
  type Taken,
  TakenError,
} from './backend.ts';
import { keyCursor, readKeyCursor } from './key-cursor.ts';

interface Kept {
  readonly row: Row;
  readonly stamp: number;
}

/** What several backends of one namespace share, as Redis is shared: for simulations. */
export class MemoryBackendPlace {
  readonly rows = new Map<string, Kept>();
  readonly tags = new Map<string, number>();
  voidUpTo = 0;
  stamp = 0;
  writer: MemoryBackend | undefined;
}

/** A backend in memory, for simulations: it keeps what the others keep, in the plainest form. */
export class MemoryBackend implements Backend {
  readonly #place: MemoryBackendPlace;

  constructor(place: MemoryBackendPlace) {
    this.#place = place;
  }

  take({ since }: Claim): Promise<Taken> {
    const place = this.#place;
    place.writer = this;
    this.#void(since);
    const { stamp } = place;
    return Promise.resolve({ stamp, tags: new Map(place.tags), lost: false, figures: this.#figures() });
  }

  fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    return Promise.resolve(keys.map((key) => this.#place.rows.get(key)?.row.bytes));
  }

  apply(batch: Batch): Promise<Applied> {
    const place = this.#place;
    if (place.writer !== this) return Promise.reject(new TakenError('another process has taken the rows'));
    if (batch.clears) this.#void(place.stamp);
    place.stamp = batch.stamp;
    for (const [tag, version] of batch.tags ?? [])
      place.tags.set(tag, Math.max(version, place.tags.get(tag) ?? 0));
    for (const [key, row] of batch.rows) {
      // Deleted first, so that the order of the map is the order of writing.
      place.rows.delete(key);
      if (row !== null) place.rows.set(key, { row, stamp: batch.stamp });
    }
    for (const [key, { row }] of place.rows) if (row.endsAtMs <= batch.nowMs) place.rows.delete(key);
    return Promise.resolve({ evicted: this.#evict(batch), figures: this.#figures() });
  }

  page({ cursor, prefix, keysMax, keyBytesMax }: PageQuery): Promise<BackendPage | undefined> {
    const from = cursor === undefined ? '' : readKeyCursor(cursor)?.toString();
    if (from === undefined) return Promise.resolve(undefined);
    const wanted = [...this.#place.rows.keys()].filter((key) => key.startsWith(prefix) && key >= from).sort();
    const keys: string[] = [];
    let bytes = 0;
    for (const key of wanted) {
      bytes += Buffer.byteLength(key);
      if (keys.length === keysMax || (keys.length > 0 && bytes > keyBytesMax)) break;
      keys.push(key);
    }
    const next = wanted[keys.length];
    return Promise.resolve(next === undefined ? { keys } : { keys, cursor: keyCursor(next) });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #void(upTo: number): void {
    const place = this.#place;
    if (upTo > place.voidUpTo) place.tags.clear();
    place.voidUpTo = Math.max(place.voidUpTo, upTo);
    place.stamp = Math.max(place.stamp, place.voidUpTo);
    for (const [key, { stamp }] of place.rows) if (stamp <= place.voidUpTo) place.rows.delete(key);
  }

  #evict({ quota }: Batch): string[] {
    const evicted: string[] = [];
    for (const key of this.#place.rows.keys()) {
      const { entries, bytes } = this.#figures();
      if (entries <= quota.entriesMax && bytes <= quota.bytesMax) break;
      this.#place.rows.delete(key);
      evicted.push(key);
    }
    return evicted;
  }

  #figures() {
    let bytes = 0;
    for (const { row } of this.#place.rows.values()) bytes += row.sizeBytes;
    return { entries: this.#place.rows.size, bytes };
  }
}
