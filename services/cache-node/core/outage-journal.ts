/** Keys whose state the backend does not have, and what they weigh. Beyond either, everything there becomes void. */
export const journalKeysMax = 100_000;
export const journalBytesMax = 16 * 1_024 * 1_024;

/** What the backend is to be told, in this order. */
export interface JournalPart {
  /** All that the backend has is void. */
  readonly clears: boolean;
  /** The journal was no longer able to say what changed: memory is to be copied as a whole. */
  readonly copies: boolean;
  readonly tags: ReadonlyMap<string, number>;
  /** Each is written as it is now, or removed. */
  readonly keys: readonly string[];
}

/**
 * What changed while a backend did not take it. It notes keys and no values: what is written in the end is what memory
 * has then. So it is bounded, and nothing that was deleted or overwritten meanwhile comes back.
 */
export class OutageJournal {
  readonly #keys = new Set<string>();
  readonly #tags = new Map<string, number>();
  #keyBytes = 0;
  #clears = false;
  #copies = false;

  get isEmpty(): boolean {
    return this.#keys.size === 0 && this.#tags.size === 0 && !this.#clears && !this.#copies;
  }

  /** Whether nothing has to be emptied or copied. */
  get isChangesOnly(): boolean {
    return !this.#clears && !this.#copies;
  }

  /** Keys that it has now. */
  keys(): readonly string[] {
    return [...this.#keys];
  }

  /** Keys that it has now. */
  get size(): number {
    return this.#keys.size;
  }

  add(key: string): void {
    // What is copied as a whole contains it.
    if (this.#copies || this.#keys.has(key)) return;
    this.#keys.add(key);
    this.#keyBytes += key.length * 2;
    if (this.#keys.size > journalKeysMax || this.#keyBytes > journalBytesMax) this.voidAll();
  }

  addTag(tag: string, version: number): void {
    this.#tags.set(tag, Math.max(version, this.#tags.get(tag) ?? 0));
  }

  /** The namespace was cleared: what changed before is of no interest any more. */
  clear(): void {
    this.#forgetKeys();
    this.#clears = true;
    this.#copies = false;
  }

  /** It is not known what changed: nothing that the backend has may be believed. */
  voidAll(): void {
    this.#forgetKeys();
    this.#clears = true;
    this.#copies = true;
  }

  /** Everything in memory is to be written. */
  copyAll(): void {
    this.#forgetKeys();
    this.#copies = true;
  }

  /** Takes the next part out, all by default. The caller gives it back when the backend did not take it. */
  take(keysMax = Infinity): JournalPart {
    const keys: string[] = [];
    for (const key of this.#keys) {
      if (keys.length === keysMax) break;
      keys.push(key);
      this.#keys.delete(key);
      this.#keyBytes -= key.length * 2;
    }
    const part = { clears: this.#clears, copies: this.#copies, tags: new Map(this.#tags), keys };
    this.#tags.clear();
    this.#clears = false;
    this.#copies = false;
    return part;
  }

  giveBack(part: JournalPart): void {
    if (part.clears && part.copies) this.voidAll();
    else if (part.copies) this.copyAll();
    // What was noted since is newer than a clear of that part, and stays.
    else if (part.clears) this.#clears = true;
    for (const [tag, version] of part.tags) this.addTag(tag, version);
    for (const key of part.keys) this.add(key);
  }

  #forgetKeys(): void {
    this.#keys.clear();
    this.#keyBytes = 0;
  }
}
