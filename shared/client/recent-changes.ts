/** Keys whose changes are remembered: more than there are reads under way at once. */
const keysMax = 10_000;

/** Tags that are remembered. */
const tagsMax = 1_000;

/** What was heard of a key, a tag, or of everything. Times are counted in changes. */
interface Change {
  /** When the last version was heard, and what is below it is out of date. */
  at: number;
  version: number;
  /** Whatever was read before this is out of date, whatever its version. */
  voidBefore: number;
}

/**
 * What was changed lately, so that a reply which was under way meanwhile is not kept. Bounded: of what was forgotten
 * it is known when, and a read that began before that is not kept at all.
 */
export class RecentChanges {
  #now = 0;
  readonly #all: Change = unchanged();
  /** When a tag was last heard of. */
  #tagsAt = 0;
  readonly #keys = new Remembered(keysMax);
  readonly #tags = new Remembered(tagsMax);

  /** The present, counted in changes. */
  get now(): number {
    return this.#now;
  }

  /** @param version  what is below is out of date; undefined: whatever was read until now */
  key(key: string, version: number | undefined): void {
    this.#now += 1;
    note(this.#keys.of(key, this.#now), version, this.#now);
  }

  tags(tags: Iterable<string>, version: number | undefined): void {
    this.#tagsAt = this.#now + 1;
    for (const tag of tags) {
      this.#now += 1;
      note(this.#tags.of(tag, this.#now), version, this.#now);
    }
  }

  all(version: number | undefined): void {
    this.#now += 1;
    note(this.#all, version, this.#now);
  }

  /** Whether an entry that was read since `stamp` has been changed since then. */
  isOutdated(
    key: string,
    read: { readonly version: number; readonly tags: readonly string[] | undefined; readonly stamp: number },
  ): boolean {
    const { version, tags, stamp } = read;
    if (stamp < this.#keys.forgotten || stamp < this.#tags.forgotten) return true;
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
}

/**
 * The newest changes by name, in two generations: when the younger one has half of what there may be, the older one
 * goes as a whole. So nothing is ever taken out of a map, which would cost more than all the rest.
 */
class Remembered {
  readonly #halfMax: number;
  #young = new Map<string, Change>();
  #old = new Map<string, Change>();
  /** When the older one stopped to be the younger one: nothing in it is newer. */
  #oldUntil = 0;
  #forgotten = 0;

  constructor(max: number) {
    this.#halfMax = max / 2;
  }

  /** What is not known any more is not newer than this. */
  get forgotten(): number {
    return this.#forgotten;
  }

  get(name: string): Change | undefined {
    return this.#young.get(name) ?? this.#old.get(name);
  }

  /** The change of that name, to be noted in. */
  of(name: string, now: number): Change {
    const known = this.#young.get(name);
    if (known !== undefined) return known;
    const change = this.#old.get(name) ?? unchanged();
    if (this.#young.size >= this.#halfMax) {
      this.#forgotten = this.#oldUntil;
      this.#oldUntil = now - 1;
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, change);
    return change;
  }
}

function unchanged(): Change {
  return { at: 0, version: 0, voidBefore: 0 };
}

/** Versions only grow, so the highest one speaks for all before it. */
function note(change: Change, version: number | undefined, now: number): void {
  if (version === undefined) {
    change.voidBefore = now;
    return;
  }
  change.at = now;
  change.version = Math.max(version, change.version);
}
