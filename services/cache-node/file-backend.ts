import { cacheKeysScanMax } from '#shared/protocol/limits.ts';
import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import { type Environment, type Table, type Writes, openEnvironment } from '#shared/runtime/lmdb.ts';
import type { Applied, Backend, BackendPage, Batch, Claim, PageQuery, Quota, Row, Taken } from './backend.ts';
import { type RowHead, decodeHead, encodeFileRow, endKey, orderKey, rowBytes } from './file-row.ts';
import { keyCursor, readKeyCursor } from './key-cursor.ts';

export interface FileBackendOptions {
  /** Folder of this namespace alone. */
  readonly path: string;
  /** Whether the entry is in memory as well: such entries are in use, and go last. */
  readonly isInUse: (key: string) => boolean;
}

/** What is known of the whole file; kept in the transaction of each batch. */
interface FileState {
  readonly format: 1;
  readonly entries: number;
  readonly bytes: number;
  readonly nextOrder: number;
  readonly stamp: number;
  readonly voidUpTo: number;
}

const emptyState: FileState = { format: 1, entries: 0, bytes: 0, nextOrder: 1, stamp: 0, voidUpTo: 0 };

interface Written {
  readonly name: Buffer;
  readonly row: Row | null;
}

/** Rows whose end has come that one batch removes. */
const endedMax = 1_000;
/** Rows in use that one batch passes over when it looks for those that must go. */
const passedOverMax = 1_000;

/**
 * The entries of one namespace in an LMDB environment of its own: they are bounded by the disk and not by memory, and
 * are there again after a restart, also after kill -9. A batch is one transaction; it resolves when it can be read,
 * which a power cut may still undo as a whole, never by half.
 *
 * Beside the rows there are two indexes, by order and by end, from row to key. Room is made in order, a row whose
 * entry is in memory goes to the end of the line instead: the clock algorithm, with "is in memory" as its bit.
 * Source: Corbató, "A Paging Experiment with the Multics System", 1968.
 */
export class FileBackend implements Backend {
  readonly #options: FileBackendOptions;
  readonly #environment: Environment;
  readonly #rows: Table<Buffer>;
  readonly #byOrder: Table<Buffer>;
  readonly #byEnd: Table<Buffer>;
  readonly #tags: Table<Buffer>;
  readonly #meta: Table<string>;
  #state: FileState;
  /** One batch after the other: each counts on from the one before, also from one that its caller gave up. */
  #applying: Promise<unknown> = Promise.resolve();
  readonly #fetching = new Set<Promise<unknown>>();
  #isClosed = false;
  #closing: Promise<void> | undefined;

  /** Throws when the file cannot be opened, is damaged, or is of a newer version. */
  constructor(options: FileBackendOptions) {
    this.#options = options;
    this.#environment = openEnvironment({ path: options.path });
    this.#rows = this.#environment.bytesTable('rows');
    this.#byOrder = this.#environment.bytesTable('by-order');
    this.#byEnd = this.#environment.bytesTable('by-end');
    this.#tags = this.#environment.bytesTable('tags');
    this.#meta = this.#environment.table('meta');
    this.#state = readState(this.#meta.get('state'), options.path);
  }

  async take({ since }: Claim): Promise<Taken> {
    if (since > this.#state.voidUpTo) {
      const state = { ...emptyState, stamp: Math.max(since, this.#state.stamp), voidUpTo: since };
      await this.#environment.transaction((writes) => {
        this.#clear(writes);
        this.#putState(state, writes);
      });
      this.#state = state;
    }
    const tags = new Map<string, number>();
    for (const { key, value } of this.#tags.getRange()) tags.set(key.toString(), value.readDoubleBE(0));
    return { stamp: this.#state.stamp, tags, lost: false, figures: this.#figures() };
  }

  fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    const fetched = this.#isClosed ? closed() : this.#fetch(keys);
    const ended: Promise<unknown> = fetched.catch(() => undefined).then(() => this.#fetching.delete(ended));
    this.#fetching.add(ended);
    return fetched;
  }

  async #fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    const named = keys.map((key) => Buffer.from(key));
    // Page faults are taken by a thread of the library, so that a slow disk does not stall the process.
    await this.#rows.prefetch(named);
    return named.map((key) => {
      const row = this.#rows.get(key);
      return row === undefined ? undefined : rowBytes(row);
    });
  }

  apply(batch: Batch): Promise<Applied> {
    const applied = this.#applying.then(() => (this.#isClosed ? closed() : this.#apply(batch)));
    this.#applying = applied.catch(() => undefined);
    return applied;
  }

  async #apply(batch: Batch): Promise<Applied> {
    const written = [...batch.rows].map(([key, row]) => ({ key, name: Buffer.from(key), row }));
    await this.#rows.prefetch(written.map(({ name }) => name));
    const evicted: string[] = [];
    const { state } = await this.#environment.transaction((writes) => {
      const before = batch.clears ? { ...this.#state, entries: 0, bytes: 0 } : this.#state;
      const change = new FileChange(before, writes);
      if (batch.clears) this.#clear(writes);
      const added = written.map((one) => ({ ...one, head: this.#write(one, change, batch.clears) }));
      if (!batch.clears) {
        this.#removeEnded(batch, change);
        this.#evict(batch, change, evicted);
      }
      for (const { key, name, head } of added) {
        if (!change.isOver(batch.quota)) break;
        if (head === undefined) continue;
        this.#removeRow(name, head, change);
        evicted.push(key);
      }
      for (const [tag, version] of batch.tags ?? []) this.#putTag(tag, version, writes);
      this.#putState({ ...change.state, stamp: batch.stamp }, writes);
      return change;
    });
    this.#state = { ...state, stamp: batch.stamp };
    return { evicted, figures: this.#figures() };
  }

  page({ cursor, prefix, keysMax, keyBytesMax, nowMs }: PageQuery): Promise<BackendPage | undefined> {
    const start = cursor === undefined ? Buffer.from(prefix) : readKeyCursor(cursor);
    if (start === undefined) return Promise.resolve(undefined);
    const keys: string[] = [];
    let bytes = 0;
    let seen = 0;
    for (const { key, value } of this.#rows.getRange(start.byteLength === 0 ? {} : { start })) {
      const name = key.toString();
      if (!name.startsWith(prefix)) break;
      seen += 1;
      bytes += key.byteLength;
      const isFull = keys.length === keysMax || (keys.length > 0 && bytes > keyBytesMax);
      if (isFull || seen > cacheKeysScanMax) return Promise.resolve({ keys, cursor: keyCursor(key) });
      if (decodeHead(value).endsAtMs > nowMs) keys.push(name);
    }
    return Promise.resolve({ keys });
  }

  /** What is under way is finished before: the library does not bear what comes after its end. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all([this.#applying, ...this.#fetching]);
    await this.#environment.flushed();
    await this.#environment.close();
  }

  // Below, reads see what was committed before; a batch has each key once, so that is what they must see.

  #write({ name, row }: Written, change: FileChange, isCleared: boolean): RowHead | undefined {
    const former = isCleared ? undefined : this.#head(name);
    if (former !== undefined) this.#removeRow(name, former, change);
    if (row === null) return undefined;
    const head = change.added(row);
    change.writes.put(this.#rows, name, encodeFileRow(head, row.bytes));
    this.#index(name, head, change);
    return head;
  }

  #removeEnded({ nowMs, rows }: Batch, change: FileChange): void {
    const end = endKey({ endsAtMs: nowMs, order: Number.MAX_SAFE_INTEGER, sizeBytes: 0 });
    for (const { value: name } of this.#byEnd.getRange({ end, limit: endedMax })) {
      const head = this.#head(name);
      // One that is written in this batch has been removed already.
      if (head !== undefined && !rows.has(name.toString())) this.#removeRow(name, head, change);
    }
  }

  #evict({ quota, rows, nowMs }: Batch, change: FileChange, evicted: string[]): void {
    let passedOver = 0;
    if (!change.isOver(quota)) return;
    for (const { value: name } of this.#byOrder.getRange()) {
      if (!change.isOver(quota)) break;
      const key = name.toString();
      const head = this.#head(name);
      if (head === undefined || rows.has(key) || head.endsAtMs <= nowMs) continue;
      if (passedOver < passedOverMax && this.#options.isInUse(key)) {
        passedOver += 1;
        this.#toTheEnd(name, head, change);
        continue;
      }
      this.#removeRow(name, head, change);
      evicted.push(key);
    }
  }

  #toTheEnd(name: Buffer, head: RowHead, change: FileChange): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#removeRow(name, head, change);
    const moved = change.added(head);
    change.writes.put(this.#rows, name, encodeFileRow(moved, rowBytes(row)));
    this.#index(name, moved, change);
  }

  #index(name: Buffer, head: RowHead, { writes }: FileChange): void {
    writes.put(this.#byOrder, orderKey(head.order), name);
    if (head.endsAtMs !== Infinity) writes.put(this.#byEnd, endKey(head), name);
  }

  #removeRow(name: Buffer, head: RowHead, change: FileChange): void {
    const { writes } = change;
    writes.remove(this.#rows, name);
    writes.remove(this.#byOrder, orderKey(head.order));
    if (head.endsAtMs !== Infinity) writes.remove(this.#byEnd, endKey(head));
    change.removed(head);
  }

  #head(name: Buffer): RowHead | undefined {
    const row = this.#rows.getBinaryFast(name);
    return row === undefined ? undefined : decodeHead(row);
  }

  #clear(writes: Writes): void {
    for (const table of [this.#rows, this.#byOrder, this.#byEnd, this.#tags]) writes.clear(table);
  }

  #putTag(tag: string, version: number, writes: Writes): void {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleBE(version);
    writes.put(this.#tags, Buffer.from(tag), bytes);
  }

  #putState(state: FileState, writes: Writes): void {
    writes.put(this.#meta, 'state', Buffer.from(packRecord(state)));
  }

  #figures() {
    return { entries: this.#state.entries, bytes: this.#state.bytes };
  }
}

/** The state of the file as a batch changes it, and what the batch is to write. */
class FileChange {
  readonly writes: Writes;
  #state: FileState;

  constructor(state: FileState, writes: Writes) {
    this.#state = state;
    this.writes = writes;
  }

  get state(): FileState {
    return this.#state;
  }

  added({ endsAtMs, sizeBytes }: Pick<RowHead, 'endsAtMs' | 'sizeBytes'>): RowHead {
    const { entries, bytes, nextOrder } = this.#state;
    this.#state = {
      ...this.#state,
      entries: entries + 1,
      bytes: bytes + sizeBytes,
      nextOrder: nextOrder + 1,
    };
    return { order: nextOrder, endsAtMs, sizeBytes };
  }

  removed({ sizeBytes }: RowHead): void {
    const { entries, bytes } = this.#state;
    this.#state = { ...this.#state, entries: entries - 1, bytes: bytes - sizeBytes };
  }

  /** One row stays, whatever the part of the quota that is this node's: what fits the namespace is refused by no node. */
  isOver({ entriesMax, bytesMax }: Quota): boolean {
    if (this.#state.entries <= 1) return false;
    return this.#state.entries > entriesMax || this.#state.bytes > bytesMax;
  }
}

const closed = (): Promise<never> => Promise.reject(new Error('the file is closed'));

function readState(bytes: Buffer | undefined, path: string): FileState {
  if (bytes === undefined) return emptyState;
  const state = unpackRecord(bytes) as FileState;
  if (state.format !== emptyState.format)
    throw new Error(`${path} has format ${String(state.format)}, and this version reads format 1`);
  return state;
}
