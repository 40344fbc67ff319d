import { inTime } from '#shared/runtime/clock.ts';
import type { Figures, Row } from './backend.ts';
import { type JournalPart, OutageJournal } from './core/outage-journal.ts';
import type { EntryRecord } from './core/residence.ts';
import type { TierTags } from './core/tier-tags.ts';
import type { OutageNote } from './outage-note.ts';
import { encodeRow } from './row-codec.ts';
import type { TierOptions } from './tier-options.ts';
import type { WriteGroup } from './tier-writes.ts';

export interface TierRecoveryOptions extends Pick<
  TierOptions,
  'node' | 'backend' | 'isOwn' | 'front' | 'clock' | 'nowMs' | 'versions' | 'isMine' | 'since' | 'deadlineMs'
> {
  readonly tags: TierTags;
  readonly note: Pick<OutageNote, 'former' | 'want' | 'ended'>;
  /** Whether another node has noted an outage that has not ended. */
  readonly isOutageElsewhere: () => Promise<boolean>;
  readonly apply: (group: WriteGroup) => Promise<void>;
}

/** Of what the backend is told in one go: it has one deadline for that. */
const partKeysMax = 500;
const partBytesMax = 4 * 1_024 * 1_024;
/** What may be left when the backend is used again. */
const restKeysMax = 1_000;
const copyScanMax = 10_000;

/** What makes a backend that was not told of everything, or not asked yet, what memory says. */
export class TierRecovery {
  readonly journal = new OutageJournal();
  readonly #options: TierRecoveryOptions;
  #hasReadNote = false;
  /** How often the others are to be asked; and the last time that they were asked of a backend that was then taken. */
  #questions: number;
  #answered = 0;

  constructor(options: TierRecoveryOptions) {
    this.#options = options;
    // A file is nobody else's.
    this.#questions = options.isOwn ? 0 : 1;
  }

  /** Keys have come to this process from another one: what that one could not tell the backend this one does not know. */
  askOthers(): void {
    if (!this.#options.isOwn) this.#questions += 1;
  }

  /** Resolves when little is left to be told. Rejects when the backend fails or is late. */
  async run(): Promise<Figures | undefined> {
    const { backend, since, versions } = this.#options;
    await this.#readNote();
    const question = this.#questions;
    if (question > this.#answered && (await this.#inTime(this.#options.isOutageElsewhere())))
      this.journal.voidAll();
    const taken = await this.#inTime(backend.take({ since, stamp: versions.next() }));
    this.#answered = question;
    versions.raise(taken.stamp);
    for (const [tag, version] of taken.tags) this.#options.tags.add(tag, version);
    if (taken.lost) this.journal.voidAll();
    while (!this.#isAlmostTold()) await this.#tell();
    return taken.figures;
  }

  /** Resolves when it is durable that the backend can be believed, and nothing is left to be told; under load there may be no such moment. */
  async end(): Promise<void> {
    const { note, deadlineMs } = this.#options;
    await this.#tellAll();
    note.want(false);
    await note.ended(deadlineMs);
    await this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    while (!this.journal.isEmpty) await this.#tell();
  }

  /** A group that the backend may not have. */
  takeBack({ clears, tags, rows }: WriteGroup): void {
    if (clears) this.journal.clear();
    for (const [tag, version] of tags) this.journal.addTag(tag, version);
    for (const key of rows.keys()) this.journal.add(key);
  }

  /** Takes out what is left, where that is little: it can go to the backend like any other changes. */
  takeRest(): JournalPart | undefined {
    const { journal } = this;
    if (!this.#isAlmostTold()) return undefined;
    const rest = journal.take();
    if (rest.keys.every(this.#options.isMine)) return rest;
    journal.giveBack(rest);
    journal.voidAll();
    return undefined;
  }

  #isAlmostTold(): boolean {
    const { journal } = this;
    if (!journal.isChangesOnly || journal.size > restKeysMax) return false;
    const { front, nowMs } = this.#options;
    let bytes = 0;
    for (const key of journal.keys()) bytes += front.peek(key, nowMs())?.value.bytes.length ?? 0;
    return bytes <= partBytesMax;
  }

  /** What is known of the backend from before this process. Once: from then on this process knows better. */
  async #readNote(): Promise<void> {
    if (this.#hasReadNote) return;
    const { note, node, isOwn } = this.#options;
    const former = await this.#inTime(note.former());
    if (former?.outage === true || (isOwn && former?.holder !== node)) this.journal.voidAll();
    this.#hasReadNote = true;
  }

  async #tell(): Promise<void> {
    const { front, nowMs, apply, isMine } = this.#options;
    const part = this.journal.take(partKeysMax);
    const keys = part.keys.filter(isMine);
    // Given to another node before the backend heard of them, and no longer this one's to write. That node believes the
    // backend as soon as the end of the outage is noted.
    if (keys.length < part.keys.length) this.journal.voidAll();
    const rows = new Map<string, Row | null>();
    let bytes = 0;
    for (const key of keys) {
      const row = rowOf(front.peek(key, nowMs()));
      rows.set(key, row);
      bytes += row?.sizeBytes ?? 0;
      if (bytes >= partBytesMax) break;
    }
    for (const key of keys.slice(rows.size)) this.journal.add(key);
    try {
      await this.#inTime(apply({ rows, tags: part.tags, clears: part.clears }));
      if (part.copies) await this.#copyAll();
    } catch (error) {
      this.journal.giveBack({ ...part, keys: [...rows.keys()] });
      throw error;
    }
  }

  /**
   * Writes everything that is in memory. What changes meanwhile is in the journal, and is written after it, or in
   * between, before it is too much to be noted.
   */
  async #copyAll(): Promise<void> {
    const { front, nowMs, apply, isMine } = this.#options;
    const sizes = { entriesMax: partKeysMax, bytesMax: partBytesMax, scanMax: copyScanMax };
    let cursor: string | undefined;
    do {
      const page = front.records({ ...sizes, cursor, wanted: isMine }, nowMs());
      if (page === undefined) throw new Error('memory refused its own cursor');
      const rows = new Map(page.records.map((record) => [record.key, encodeRow(record)]));
      await this.#inTime(apply({ rows, tags: new Map(), clears: false }));
      cursor = page.cursor;
      while (this.journal.isChangesOnly && this.journal.size >= partKeysMax) await this.#tell();
    } while (cursor !== undefined && this.journal.isChangesOnly);
  }

  #inTime<T>(action: Promise<T>): Promise<T> {
    return inTime(this.#options.clock, this.#options.deadlineMs, action);
  }
}

export const rowOf = (record: EntryRecord | undefined) => (record === undefined ? null : encodeRow(record));
