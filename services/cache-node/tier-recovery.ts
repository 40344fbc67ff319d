import type { Clock } from '#shared/runtime/clock.ts';
import type { Backend, Figures } from './backend.ts';
import { type JournalPart, OutageJournal } from './core/outage-journal.ts';
import type { EntryRecord, Residence } from './core/residence.ts';
import type { TierTags } from './core/tier-tags.ts';
import { encodeRow } from './row-codec.ts';
import type { TierNote } from './tier-record.ts';
import type { WriteGroup } from './tier-writes.ts';

export interface TierRecoveryOptions {
  readonly node: string;
  readonly backend: Backend;
  readonly isOwn: boolean;
  readonly front: Residence;
  readonly clock: Clock;
  readonly nowMs: () => number;
  readonly versions: { readonly next: () => number; readonly raise: (version: number) => void };
  /** Whether the key is still this process's to write. */
  readonly isMine: (key: string) => boolean;
  readonly tags: TierTags;
  /** What was noted of the backend when this process came to it. */
  readonly formerNote: () => Promise<TierNote | undefined>;
  /** Whether another node has noted an outage that has not ended. */
  readonly isOutageElsewhere: () => Promise<boolean>;
  readonly since: number;
  readonly deadlineMs: number;
  readonly apply: (group: WriteGroup) => Promise<void>;
}

const partKeysMax = 500;
const copyBytesMax = 4 * 1_024 * 1_024;
const copyScanMax = 10_000;

/** What makes a backend that was not told of everything, or not asked yet, what memory says. */
export class TierRecovery {
  readonly journal = new OutageJournal();
  readonly #options: TierRecoveryOptions;
  #hasReadNote = false;
  #mustAskOthers: boolean;

  constructor(options: TierRecoveryOptions) {
    this.#options = options;
    // A file is nobody else's.
    this.#mustAskOthers = !options.isOwn;
  }

  /** Keys have come to this process from another one: what that one could not tell the backend this one does not know. */
  askOthers(): void {
    this.#mustAskOthers = !this.#options.isOwn;
  }

  /** Resolves when little is left to be told. Rejects when the backend fails or is late. */
  async run(): Promise<Figures | undefined> {
    const { backend, since, versions } = this.#options;
    await this.#readNote();
    await this.#readOthers();
    const taken = await this.#inTime(backend.take({ since, stamp: versions.next() }));
    versions.raise(taken.stamp);
    for (const [tag, version] of taken.tags) this.#options.tags.add(tag, version);
    if (taken.lost) this.journal.voidAll();
    await this.tellMost();
    return taken.figures;
  }

  /** Not all: while there is load there is always something left. */
  async tellMost(): Promise<void> {
    while (!this.journal.isShort) await this.#tell(this.journal.take(partKeysMax));
  }

  /** Takes out what is left, where that is little: it can go to the backend like any other changes. */
  takeRest(): JournalPart | undefined {
    const { journal } = this;
    if (!journal.isShort) return undefined;
    const rest = journal.take();
    if (rest.keys.every(this.#options.isMine)) return rest;
    journal.giveBack(rest);
    journal.voidAll();
    return undefined;
  }

  /** What is known of the backend from before this process. Once: from then on this process knows better. */
  async #readNote(): Promise<void> {
    if (this.#hasReadNote) return;
    const { formerNote, node, isOwn } = this.#options;
    const note = await this.#inTime(formerNote());
    if (note?.outage === true || (isOwn && note?.holder !== node)) this.journal.voidAll();
    this.#hasReadNote = true;
  }

  async #readOthers(): Promise<void> {
    if (!this.#mustAskOthers) return;
    this.#mustAskOthers = false;
    try {
      if (await this.#inTime(this.#options.isOutageElsewhere())) this.journal.voidAll();
    } catch (error) {
      this.#mustAskOthers = true;
      throw error;
    }
  }

  async #tell(part: JournalPart): Promise<void> {
    const { front, nowMs, apply, isMine } = this.#options;
    try {
      const keys = part.keys.filter(isMine);
      // Given to another node before the backend heard of them, and no longer this one's to write. That node believes the
      // backend as soon as the end of the outage is noted.
      if (keys.length < part.keys.length) this.journal.voidAll();
      const rows = new Map(keys.map((key) => [key, rowOf(front.peek(key, nowMs()))]));
      await this.#inTime(apply({ rows, tags: part.tags, clears: part.clears }));
      if (part.copies) await this.#copyAll();
    } catch (error) {
      this.journal.giveBack(part);
      throw error;
    }
  }

  /** Writes everything that is in memory. What changes meanwhile is in the journal, and is written after it. */
  async #copyAll(): Promise<void> {
    const { front, nowMs, apply, isMine } = this.#options;
    const sizes = { entriesMax: partKeysMax, bytesMax: copyBytesMax, scanMax: copyScanMax };
    let cursor: string | undefined;
    do {
      const page = front.records({ ...sizes, cursor, wanted: isMine }, nowMs());
      if (page === undefined) throw new Error('memory refused its own cursor');
      const rows = new Map(page.records.map((record) => [record.key, encodeRow(record)]));
      await this.#inTime(apply({ rows, tags: new Map(), clears: false }));
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  async #inTime<T>(action: Promise<T>): Promise<T> {
    const { clock, deadlineMs } = this.#options;
    const late = Promise.withResolvers<never>();
    const cancel = clock.after(deadlineMs, () => late.reject(new Error(`no answer within ${deadlineMs} ms`)));
    try {
      return await Promise.race([action, late.promise]);
    } finally {
      cancel();
    }
  }
}

export const rowOf = (record: EntryRecord | undefined) => (record === undefined ? null : encodeRow(record));
