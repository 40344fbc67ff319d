/** Keys whose changes are remembered: more than there are reads under way at once. */
const keysMax = 10_000;

/** Tags that are remembered. */
const tagsMax = 1_000;

/** What was heard of a key, a tag, or of everything. Times are counted in changes. */
interface Change {
  /** When the last version was heard, and what is below it is out of date. */
  readonly at: number;
  readonly version: number;
  /** Whatever was read before this is out of date, whatever its version. */
  readonly voidBefore: number;
}

const unchanged: Change = { at: 0, version: 0, voidBefore: 0 };

/**
 * What was changed lately, so that a reply which was under way meanwhile is not kept. Bounded: of what was forgotten
 * it is known when, and a read that began before that is not kept at all.
 */
export class RecentChanges {
  #now = 0;
  #forgotten = 0;
  #all = unchanged;
  /** When a tag was last heard of. */
  #tagsAt = 0;
  readonly #keys = new Map<string, Change>();
  readonly #tags = new Map<string, Change>();

  /** The present, counted in changes. */
  get now(): number {
    return this.#now;
  }

  /** @param version  what is below is out of date; undefined: whatever was read until now */
  key(key: string, version: number | undefined): void {
    this.#remember(this.#keys, key, version, keysMax);
  }

  tags(tags: Iterable<string>, version: number | undefined): void {
    this.#tagsAt = this.#now + 1;
    for (const tag of tags) this.#remember(this.#tags, tag, version, tagsMax);
  }

  all(version: number | undefined): void {
    this.#now += 1;
    this.#all = changed(this.#all, version, this.#now);
  }

  /** Whether an entry that was read since `stamp` has been changed since then. */
  isOutdated(
    key: string,
    read: { readonly version: number; readonly tags: readonly string[] | undefined; readonly stamp: number },
  ): boolean {
    const { version, tags, stamp } = read;
    if (stamp < this.#forgotten) return true;
    const concerns = (change: Change | undefined): boolean =>
      change !== undefined && (stamp < change.voidBefore || (change.at > stamp && version < change.version));
    return (
      concerns(this.#all) ||
      concerns(this.#keys.get(key)) ||
      tags?.some((tag) => concerns(this.#tags.get(tag))) === true
    );
  }

  /** Whether anything was heard since `stamp` that may concern a key, whatever its tags are. */
  hasChanged(key: string, stamp: number): boolean {
    return this.#tagsAt > stamp || this.isOutdated(key, { version: 0, tags: undefined, stamp });
  }

  #remember(changes: Map<string, Change>, name: string, version: number | undefined, max: number): void {
    this.#now += 1;
    const known = changes.get(name);
    // Behind all others, so that the first one is the one to forget.
    if (known !== undefined) changes.delete(name);
    changes.set(name, changed(known ?? unchanged, version, this.#now));
    if (changes.size <= max) return;
    const [oldest] = changes;
    if (oldest === undefined) return;
    this.#forgotten = Math.max(this.#forgotten, oldest[1].at, oldest[1].voidBefore);
    changes.delete(oldest[0]);
  }
}

/** Versions only grow, so the highest one speaks for all before it. */
const changed = (known: Change, version: number | undefined, now: number): Change =>
  version === undefined
    ? { ...known, voidBefore: now }
    : { at: now, version: Math.max(version, known.version), voidBefore: known.voidBefore };
