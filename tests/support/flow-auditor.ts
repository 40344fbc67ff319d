// What the log says of flows, held together across partitions. Shares no code with the broker.

type Fact = Readonly<Record<string, unknown>> & { readonly kind: string };

/** An item of a flow, as far as its log tells. */
export interface AuditedMember {
  readonly id: string;
  readonly root: string;
  readonly parent: string | undefined;
  readonly index: number;
  readonly children: number;
  /** How each child ended that the item was told of, by its index. */
  readonly ended: ReadonlyMap<number, string>;
  /** The item's own time, should it be let go before it. */
  readonly runAt: number;
}

interface Member extends AuditedMember {
  readonly ended: Map<number, string>;
  /** Number of the newest end of each child. */
  readonly endings: Map<number, number>;
}

/** Facts of flows that change no item's state. */
const kinds = new Set([
  'flow-begun',
  'flow-placed',
  'flow-released',
  'flow-closed',
  'child-ended',
  'endings-reported',
  'cascade-begun',
  'cascade-ended',
]);

/** Reads the facts of one partition after the other; `faults` names what must not be, once all have been read. */
export class FlowAuditor {
  readonly members = new Map<string, Member>();
  /** Items below each root that has begun a flow. */
  readonly #begun = new Map<string, number>();
  readonly #open = new Set<string>();
  readonly #replayed = new Set<string>();
  readonly #faults: string[] = [];

  /** Flows that were begun and not closed. */
  get open(): number {
    return this.#open.size;
  }

  /** Takes a fact about the item `id`; true when it is about flows alone. */
  take(id: string, fact: Fact): boolean {
    if (fact.kind === 'enqueued') this.#enqueue(id, fact);
    if (!kinds.has(fact.kind)) return false;
    if (fact.kind === 'flow-begun') {
      this.#begun.set(id, (fact['members'] as readonly unknown[]).length);
      this.#open.add(id);
    }
    if (fact.kind === 'flow-closed') this.#open.delete(id);
    if (fact.kind === 'child-ended') this.#endChild(id, fact);
    return true;
  }

  /** A parent that failed with a child and is replayed runs with what there is. */
  replay(id: string): void {
    this.#replayed.add(id);
  }

  /** An item that has children begins to be worked on, or may be. */
  begin(id: string, what: string): void {
    const member = this.members.get(id);
    if (member !== undefined && !this.#replayed.has(id) && member.ended.size < member.children)
      this.#faults.push(
        `item ${id} is ${what}, ${member.ended.size} of ${member.children} children have ended`,
      );
  }

  faults(): readonly string[] {
    const faults = [...this.#faults];
    const places = new Map<string, string>();
    const below = new Map<string, number>();
    for (const { id, root, parent, index, children } of this.members.values()) {
      if (id !== root) below.set(root, (below.get(root) ?? 0) + 1);
      if (parent === undefined) continue;
      const place = `child ${index} of ${parent}`;
      const other = places.get(place);
      if (other !== undefined) faults.push(`${place} was made twice, as ${other} and as ${id}`);
      places.set(place, id);
      if (children < 0 || !this.members.has(parent)) faults.push(`item ${id} has no parent ${parent}`);
    }
    for (const [root, members] of this.#begun) {
      const made = below.get(root) ?? 0;
      if (!this.#open.has(root) && made !== members)
        faults.push(`${made} of ${members} items below ${root} exist`);
    }
    return faults;
  }

  #enqueue(id: string, fact: Fact): void {
    const place = fact['member'] as { readonly root: string; readonly number: number } | undefined;
    if (place === undefined) return;
    const parent = fact['parent'] as { readonly id: string; readonly index: number } | undefined;
    const family = fact['family'] as { readonly children: number } | undefined;
    this.members.set(id, {
      id,
      root: place.root,
      parent: parent?.id,
      index: parent?.index ?? 0,
      children: family?.children ?? 0,
      runAt: Number(fact['runAt'] ?? 0),
      ended: new Map(),
      endings: new Map(),
    });
  }

  #endChild(id: string, fact: Fact): void {
    const member = this.members.get(id);
    const index = Number(fact['index']);
    const ending = Number(fact['ending']);
    if (member === undefined) return void this.#faults.push(`item ${id} is told of a child and has none`);
    if (ending <= (member.endings.get(index) ?? 0))
      this.#faults.push(`item ${id} is told twice of end ${ending} of child ${index}`);
    member.endings.set(index, ending);
    member.ended.set(index, String(fact['state']));
  }
}
