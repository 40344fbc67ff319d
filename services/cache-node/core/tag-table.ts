interface Tag {
  readonly name: string;
  readonly id: number;
  entries: number;
  version: number;
}

/** The tags of one namespace's entries: each once, with a small number for it, for as long as an entry has it. */
export class TagTable {
  readonly #byName = new Map<string, Tag>();
  readonly #byId: (Tag | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#byName.size;
  }

  /** The number of a tag that one more entry has now. */
  hold(name: string): number {
    const known = this.#byName.get(name);
    if (known !== undefined) {
      known.entries += 1;
      return known.id;
    }
    const tag = { name, id: this.#free.pop() ?? this.#byId.length, entries: 1, version: 0 };
    this.#byName.set(name, tag);
    this.#byId[tag.id] = tag;
    return tag.id;
  }

  /** One entry less has that tag. */
  release(id: number): void {
    const tag = this.#byId[id];
    if (tag === undefined) return;
    tag.entries -= 1;
    if (tag.entries > 0) return;
    this.#byName.delete(tag.name);
    this.#byId[id] = undefined;
    this.#free.push(id);
  }

  name(id: number): string {
    return this.#byId[id]?.name ?? '';
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  version(name: string): number {
    return this.#byName.get(name)?.version ?? 0;
  }

  invalidate(name: string, version: number): boolean {
    const tag = this.#byName.get(name);
    if (tag === undefined) return false;
    tag.version = Math.max(tag.version, version);
    return true;
  }
}
