import type {
  Change,
  EntryRecord,
  ForgetQuery,
  NoteChange,
  RecordsCursor,
  RecordsPage,
  RecordsQuery,
  Residence,
} from '#services/cache-node/core/residence.ts';
import { json } from '#shared/protocol/encoding.ts';

/**
 * Memory in front of a backend in its plainest form: numbers under keys, and room for few of them. For simulations,
 * which want to know exactly what it holds and to see it evict all the time.
 */
export class VirtualFront implements Residence {
  readonly #records = new Map<string, EntryRecord>();
  readonly #entriesMax: number;
  readonly #note: NoteChange;
  readonly #nextVersion: () => number;
  #clearedAt = 0;
  readonly #tags = new Map<string, number>();

  constructor(options: {
    readonly entriesMax: number;
    readonly note: NoteChange;
    readonly nextVersion: () => number;
  }) {
    this.#entriesMax = options.entriesMax;
    this.#note = options.note;
    this.#nextVersion = options.nextVersion;
  }

  get(key: string): number | undefined {
    const record = this.#records.get(key);
    if (record === undefined) return undefined;
    this.#records.delete(key);
    this.#records.set(key, record);
    return Number(Buffer.from(record.value.bytes).toString());
  }

  set(key: string, value: number, tags: readonly string[] = []): void {
    const version = this.#nextVersion();
    this.#put({
      key,
      value: { encoding: json, bytes: Buffer.from(String(value)), rawBytes: 0 },
      version,
      createdAtMs: 0,
      expiresAtMs: Infinity,
      slidingMs: 0,
      graceMs: 0,
      tags,
      fillMs: 0,
    });
    this.#note({ kind: 'written', key, version });
    this.#makeRoom();
  }

  delete(key: string): void {
    if (this.#records.delete(key)) this.#note({ kind: 'deleted', key, version: this.#nextVersion() });
  }

  clear(): void {
    this.#clearedAt = this.#nextVersion();
    this.#records.clear();
    this.#note({ kind: 'cleared', version: this.#clearedAt });
  }

  invalidate(tag: string): void {
    const version = this.#nextVersion();
    this.applyChange({ kind: 'tags-invalidated', tags: [tag], version });
    this.#note({ kind: 'tags-invalidated', tags: [tag], version });
  }

  admit(record: EntryRecord): boolean {
    const held = this.#records.get(record.key)?.version ?? 0;
    if (record.version <= Math.max(held, this.#clearedAt) || this.#isInvalidated(record)) return false;
    this.#put(record);
    this.#makeRoom();
    return true;
  }

  peek(key: string): EntryRecord | undefined {
    return this.#records.get(key);
  }

  records(query: RecordsQuery): RecordsPage {
    const after = query.cursor ?? '';
    const keys = [...this.#records.keys()].filter((key) => key > after).sort((a, b) => (a < b ? -1 : 1));
    const page = keys.slice(0, Math.min(3, query.entriesMax)).map((key) => this.#records.get(key));
    const records = page.filter((record) => record !== undefined);
    const last = records.at(-1);
    return last === undefined || keys.length <= 3 ? { records } : { records, cursor: last.key };
  }

  forget(_query: ForgetQuery): RecordsCursor {
    return {};
  }

  applyChange(change: Extract<Change, { kind: 'deleted' | 'cleared' | 'tags-invalidated' }>): void {
    if (change.kind === 'deleted') this.#records.delete(change.key);
    if (change.kind === 'cleared') this.#records.clear();
    if (change.kind !== 'tags-invalidated') return;
    for (const tag of change.tags) this.#tags.set(tag, Math.max(change.version, this.#tags.get(tag) ?? 0));
    for (const [key, record] of this.#records) if (this.#isInvalidated(record)) this.#records.delete(key);
  }

  #isInvalidated({ tags, version }: EntryRecord): boolean {
    return tags.some((tag) => (this.#tags.get(tag) ?? 0) > version);
  }

  #put(record: EntryRecord): void {
    this.#records.delete(record.key);
    this.#records.set(record.key, record);
  }

  #makeRoom(): void {
    for (const [key, { version }] of this.#records) {
      if (this.#records.size <= this.#entriesMax) return;
      this.#records.delete(key);
      this.#note({ kind: 'evicted', key, version });
    }
  }
}
