import type { Row } from './backend.ts';
import { type Deferred, deferred } from './deferred.ts';

/** What one write to the backend holds at most; what is more becomes further ones. */
const rowsMax = 2_000;
const bytesMax = 4 * 1_024 * 1_024;

export interface TierWritesOptions<Outcome> {
  /** Brings a group to the backend, and says what its callers hear. */
  readonly write: (group: WriteGroup) => Promise<Outcome>;
  /** A group must be written by then. */
  readonly watch: (untilMs: number) => () => void;
}

/** Changes that go to the backend together. */
export interface WriteGroup {
  readonly rows: ReadonlyMap<string, Row | null>;
  readonly tags: ReadonlyMap<string, number>;
  /** Before its rows are written all others are void. */
  readonly clears: boolean;
}

interface Group<Outcome> {
  readonly rows: Map<string, Row | null>;
  readonly tags: Map<string, number>;
  clears: boolean;
  bytes: number;
  readonly written: Deferred<Outcome>;
  untilMs: number;
  unwatch: () => void;
}

/**
 * Changes on their way to the backend: group commit. One group is under way at a time, what comes meanwhile is the
 * next one; when none is, the changes of one turn of the event loop go at once. Nothing waits for company.
 */
export class TierWrites<Outcome> {
  readonly #options: TierWritesOptions<Outcome>;
  /** The first one is under way when `isWriting`. */
  #groups: Group<Outcome>[] = [];
  #isWriting = false;

  constructor(options: TierWritesOptions<Outcome>) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#groups.length === 0;
  }

  put(key: string, row: Row | null, untilMs: number): void {
    const group = this.#open(untilMs);
    group.bytes += row?.sizeBytes ?? key.length;
    group.rows.set(key, row);
  }

  putTags(tags: readonly string[], version: number, untilMs: number): void {
    const group = this.#open(untilMs);
    for (const tag of tags) group.tags.set(tag, version);
  }

  clear(untilMs: number): void {
    const group = this.#open(untilMs);
    group.rows.clear();
    group.clears = true;
  }

  /** What the newest changes on their way make of the key: its row, null for none, undefined when they do not touch it. */
  lookUp(key: string): Row | null | undefined {
    for (let at = this.#groups.length - 1; at >= 0; at -= 1) {
      const group = this.#groups[at];
      const row = group?.rows.get(key);
      if (row !== undefined) return row;
      if (group?.clears === true) return null;
    }
    return undefined;
  }

  /** Resolves with the outcome of the newest changes. */
  written(): Promise<Outcome> | undefined {
    return this.#groups.at(-1)?.written.promise;
  }

  /** Takes all groups back, the one that is under way included; who waits for them is told `outcome` later. */
  abandon(outcome: Promise<Outcome>): readonly WriteGroup[] {
    const groups = this.#groups;
    this.#groups = [];
    this.#isWriting = false;
    for (const group of groups) {
      group.unwatch();
      void outcome.then(group.written.resolve);
    }
    return groups;
  }

  /** The group that takes changes now. */
  #open(untilMs: number): Group<Outcome> {
    const newest = this.#groups.at(-1);
    const isOpen = newest !== undefined && !(this.#isWriting && this.#groups.length === 1);
    if (newest === undefined || !isOpen || newest.rows.size >= rowsMax || newest.bytes >= bytesMax)
      return this.#begin(untilMs);
    if (untilMs < newest.untilMs) {
      newest.unwatch();
      newest.untilMs = untilMs;
      newest.unwatch = this.#options.watch(untilMs);
    }
    return newest;
  }

  #begin(untilMs: number): Group<Outcome> {
    const group: Group<Outcome> = {
      rows: new Map(),
      tags: new Map(),
      clears: false,
      bytes: 0,
      written: deferred<Outcome>(),
      untilMs,
      unwatch: this.#options.watch(untilMs),
    };
    this.#groups.push(group);
    if (this.#groups.length === 1) queueMicrotask(() => void this.#writeNext());
    return group;
  }

  async #writeNext(): Promise<void> {
    const group = this.#groups[0];
    if (group === undefined || this.#isWriting) return;
    this.#isWriting = true;
    const outcome = await this.#options.write(group).catch(() => undefined);
    // Abandoned meanwhile, or just now, for having failed: its callers are told by whoever did that.
    if (outcome === undefined || this.#groups[0] !== group) return;
    group.unwatch();
    this.#groups.shift();
    this.#isWriting = false;
    group.written.resolve(outcome);
    void this.#writeNext();
  }
}
