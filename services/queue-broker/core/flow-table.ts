import type { Enqueued } from './facts.ts';
import type {
  ChildEnded,
  EndState,
  FlowBegun,
  FlowPlace,
  FlowPlaced,
  FlowRecordFact,
  ReleasedMember,
} from './flow-facts.ts';
import * as records from './flow-records.ts';
import { type Item, type Parent, parseItemId } from './item.ts';
import type { Overlay } from './overlay.ts';

/** What is new for the outbox to do. */
export interface Outgoing {
  /** Roots of flows that are to be built and released. */
  readonly flows: ReadonlySet<number>;
  /** Items whose children are to be cancelled. */
  readonly cascades: ReadonlySet<number>;
  /** Partitions whose parents are to hear of endings. */
  readonly targets: ReadonlySet<number>;
}

/** How long it is remembered which item a released member became, should it be asked for once more. */
const memberWindowMs = 86_400_000;
/** Not a queue's name: what is remembered of members stands among the idempotency keys, which go by themselves. */
const memberSpace = '.flow-members';

/**
 * What a partition knows of flows besides its items: which are being built, what parents wait for, and what other
 * partitions are still to be told. Facts change it and nothing else does, so replay gives the same.
 */
export class FlowTable {
  readonly #overlay: Overlay;
  /** Children whose end is not reported, by the partition of their parents. */
  readonly #endings = new Map<number, Set<number>>();
  #outgoing = nothingOutgoing();

  constructor(overlay: Overlay) {
    this.#overlay = overlay;
  }

  // Reading.

  flow(order: number): records.OpenFlow | undefined {
    return this.#overlay.record(records.flowKey(order)) as records.OpenFlow | undefined;
  }

  family(order: number): records.FamilyRecord | undefined {
    return this.#overlay.record(records.familyKey(order)) as records.FamilyRecord | undefined;
  }

  /** True while the flow of an item is not complete: it may not be handed out, whatever becomes of it. */
  isHeld(order: number): boolean {
    return this.family(order)?.held === true;
  }

  children(order: number): records.ChildrenRecord['children'] {
    const record = this.#overlay.record(records.childrenKey(order));
    return (record as records.ChildrenRecord | undefined)?.children ?? [];
  }

  child(order: number, index: number): records.ChildRecord | undefined {
    return this.#overlay.record(records.childKey(order, index)) as records.ChildRecord | undefined;
  }

  ending(order: number): records.EndingRecord | undefined {
    return this.#overlay.record(records.endingKey(order)) as records.EndingRecord | undefined;
  }

  cascade(order: number): records.CascadeRecord | undefined {
    return this.#overlay.record(records.cascadeKey(order));
  }

  /** The item that a member of a flow became, while it waits for the rest of the flow. */
  heldMember(root: string, number: number): number | undefined {
    const record = this.#overlay.record(records.memberKey(root, number));
    return (record as records.MemberRecord | undefined)?.order;
  }

  /** The item that a member of a flow became, or undefined. */
  placedMember(root: string, number: number): number | undefined {
    return this.heldMember(root, number) ?? this.#overlay.dedup(memberSpace, `${root}/${number}`)?.order;
  }

  /** Children whose end is to be reported to the parents in partition `target`, in the order in which they ended. */
  unreported(target: number): Iterable<number> {
    return this.#endings.get(target) ?? [];
  }

  /** What has come up for the outbox since the last call, or undefined. It may not be durable yet. */
  takeOutgoing(): Outgoing | undefined {
    const { flows, cascades, targets } = this.#outgoing;
    if (flows.size === 0 && cascades.size === 0 && targets.size === 0) return undefined;
    const taken = this.#outgoing;
    this.#outgoing = nothingOutgoing();
    return taken;
  }

  // Writing.

  /** An item of a flow has come in. */
  admit(fact: Enqueued, place: FlowPlace): void {
    this.#write(records.memberKey(place.root, place.number), { order: fact.order });
    const children = place.childQueues.map((queue) => ({ queue }));
    this.#write(records.familyKey(fact.order), { held: true, left: children.length });
    if (fact.family !== undefined) this.#write(records.childrenKey(fact.order), { children });
  }

  apply(fact: FlowRecordFact, at: number): void {
    switch (fact.kind) {
      case 'flow-begun':
        return this.#begin(fact);
      case 'flow-placed':
        return this.#place(fact);
      case 'flow-released':
        for (const member of fact.members) this.#release(fact.root, member, at);
        return undefined;
      case 'flow-closed':
        return this.#remove(records.flowKey(fact.order));
      case 'child-ended':
        return this.#takeChild(fact);
      case 'endings-reported':
        for (const { order, ending } of fact.endings) this.#report(order, ending);
        return undefined;
      case 'cascade-begun':
        return this.#cascade(fact.order);
      case 'cascade-ended':
        return this.#remove(records.cascadeKey(fact.order));
    }
  }

  /** An item with a parent has ended: kept until the parent's partition knows. */
  end(item: Item, parent: Parent, state: EndState, ending: number): void {
    const record = records.endingRecord(item, parent, state, ending);
    this.#write(records.endingKey(item.order), record);
    this.#noteEnding(item.order, parent.id);
  }

  /** An item is gone for good, and with it what its children left. */
  forget(order: number): void {
    const children = this.children(order);
    for (const index of children.keys()) this.#remove(records.childKey(order, index));
    this.#remove(records.familyKey(order));
    this.#remove(records.childrenKey(order));
  }

  /** Takes in a stored record at start; false when it is not of a flow. */
  load(key: string, value: object): boolean {
    const [kind, order] = key.split('/', 2);
    if (kind === 'flow') this.#outgoing.flows.add(Number(order));
    else if (kind === 'flow-cascade') this.#outgoing.cascades.add(Number(order));
    else if (kind === 'flow-ending')
      this.#noteEnding(Number(order), (value as records.EndingRecord).parent.id);
    return kind === 'flow' || kind?.startsWith('flow-') === true;
  }

  #begin({ order, queue, members }: FlowBegun): void {
    this.#write(records.flowKey(order), { phase: 'placing', queue, members });
    this.#outgoing.flows.add(order);
  }

  #place({ order, ids }: FlowPlaced): void {
    const flow = this.flow(order);
    if (flow?.phase !== 'placing') throw new Error(`the flow of item ${order} is not being placed`);
    const members = flow.members.map(({ queue, parent }, at) => ({ queue, id: ids[at] ?? '', parent }));
    this.#write(records.flowKey(order), { phase: 'placed', members });
  }

  #release(root: string, { number, order, children }: ReleasedMember, at: number): void {
    this.#remove(records.memberKey(root, number));
    this.#overlay.putDedup(memberSpace, `${root}/${number}`, { order, until: at + memberWindowMs });
    if (children === undefined) return this.#remove(records.familyKey(order));
    // The parent itself may be gone already, and its children are to be cancelled all the same.
    if (this.cascade(order) !== undefined) {
      this.#write(records.cascadeKey(order), { children });
      this.#outgoing.cascades.add(order);
    }
    const family = this.family(order);
    if (family === undefined) return;
    this.#write(records.familyKey(order), { ...family, held: false });
    this.#write(records.childrenKey(order), { children });
  }

  #takeChild(fact: ChildEnded): void {
    const { order, index } = fact;
    const family = this.family(order);
    if (family === undefined) throw new Error(`item ${order} has no children, and yet one has ended`);
    const countedBefore = this.child(order, index)?.counted === true;
    const counted = countedBefore || fact.counts;
    this.#write(records.childKey(order, index), records.childRecord(fact, counted));
    if (!counted || countedBefore) return;
    this.#write(records.familyKey(order), { ...family, left: family.left - 1 });
  }

  #report(order: number, ending: number): void {
    const record = this.ending(order);
    // It may have ended anew meanwhile: then that is still to be reported.
    if (record?.ending !== ending) return;
    this.#remove(records.endingKey(order));
    const { partition } = parseItemId(record.parent.id);
    const orders = this.#endings.get(partition);
    orders?.delete(order);
    if (orders?.size === 0) this.#endings.delete(partition);
  }

  #cascade(order: number): void {
    const known = this.children(order).filter((child): child is Required<typeof child> => 'id' in child);
    const held = this.family(order)?.held !== false;
    this.#write(records.cascadeKey(order), held ? {} : { children: known });
    if (!held) this.#outgoing.cascades.add(order);
  }

  #noteEnding(order: number, parentId: string): void {
    const { partition } = parseItemId(parentId);
    let orders = this.#endings.get(partition);
    if (orders === undefined) {
      orders = new Set();
      this.#endings.set(partition, orders);
    }
    orders.add(order);
    this.#outgoing.targets.add(partition);
  }

  #write(key: string, value: records.FlowRecord): void {
    this.#overlay.putRecord(key, value);
  }

  #remove(key: string): void {
    this.#overlay.putRecord(key, null);
  }
}

const nothingOutgoing = () => ({
  flows: new Set<number>(),
  cascades: new Set<number>(),
  targets: new Set<number>(),
});
