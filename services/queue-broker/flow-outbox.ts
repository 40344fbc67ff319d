import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { ItemPlace } from './core/flow-facts.ts';
import type { ChildEnding } from './core/flow-messages.ts';
import * as outgoing from './core/flow-outgoing.ts';
import type { PlacedMember } from './core/flow-records.ts';
import type { Outgoing } from './core/flow-table.ts';
import { itemId, parseItemId } from './core/item.ts';
import { Errands } from './errands.ts';
import { type FlowCourier, placeBytes } from './flow-courier.ts';
import { placeMembers } from './flow-placing.ts';
import { itemBytes } from './log-bytes.ts';

/** Flows and cascades under way at once: a flow may hold seven megabytes of payloads while its items are made. */
const flowsAtOnce = 32;
const lanesAtOnce = 256;

const question = { room: 'nothing', bytes: 0 } as const;
const note = { room: 'always', bytes: itemBytes } as const;

/**
 * Does what flows need from more than one partition: makes their items, releases them once all exist, tells parents
 * how children ended, cancels what is below a cancelled item. Whatever it does is kept as a record in some partition
 * until it is done, and may be done again: a crash at any moment loses nothing and repeats nothing that can be seen.
 */
export class FlowOutbox {
  readonly #flows: Errands;
  readonly #lanes: Errands;
  #courier: FlowCourier | undefined;

  constructor(options: { readonly clock: Clock; readonly log: Log }) {
    this.#flows = new Errands({ ...options, atOnceMax: flowsAtOnce });
    this.#lanes = new Errands({ ...options, atOnceMax: lanesAtOnce });
  }

  /**
   * Takes note that a partition has something for others. What it is, is asked of the partition in a turn: so nothing is
   * passed on that is not durable.
   */
  note(partition: number, { flows, cascades, targets }: Outgoing): void {
    for (const order of flows)
      this.#flows.run(`flow ${itemId(partition, order)}`, () => this.#carryFlow(partition, order));
    for (const order of cascades)
      this.#flows.run(`cascade ${itemId(partition, order)}`, () => this.#cascade(partition, order));
    for (const target of targets)
      this.#lanes.run(`endings ${partition} ${target}`, () => this.#reportEndings(partition, target));
  }

  /** Begins, with what was noted before: the partitions are all there. */
  begin(courier: FlowCourier): void {
    this.#courier = courier;
    this.#flows.begin();
    this.#lanes.begin();
  }

  /** Begins nothing any more; who has the partitions next goes on. */
  stop(): void {
    this.#flows.stop();
    this.#lanes.stop();
  }

  async #carryFlow(source: number, order: number): Promise<boolean> {
    const courier = this.#ready();
    const flow = await courier.decide(source, question, (turn) => outgoing.openFlow(turn, order));
    if (!flow.ok) return false;
    if (flow.value === undefined) return true;
    if (flow.value.phase === 'placed') return this.#release(source, order, flow.value.members);
    const { members, queue } = flow.value;
    const ids = await placeMembers(courier, { queue, id: itemId(source, order) }, members);
    if (ids === undefined) return false;
    const size = { ...note, bytes: itemBytes + placeBytes * ids.length };
    const noted = await courier.decide(source, size, (turn) => outgoing.notePlaced(turn, order, ids));
    if (!noted.ok) return false;
    const placed = members.map((member, at) => ({
      queue: member.queue,
      id: ids[at] ?? '',
      parent: member.parent,
    }));
    return this.#release(source, order, placed);
  }

  /** All items exist: each partition lets go of its own. */
  async #release(source: number, order: number, members: readonly PlacedMember[]): Promise<boolean> {
    const courier = this.#ready();
    const root = itemId(source, order);
    const children = childrenOf(members);
    const all = [{ id: root, number: 0 }, ...members.map(({ id }, at) => ({ id, number: at + 1 }))];
    const answers = await Promise.all(
      [...byPartition(all)].map(([partition, here]) =>
        courier.ask(partition, 'release', {
          root,
          members: here.map(({ number }) => ({ number, ...given(children.get(number)) })),
        }),
      ),
    );
    if (answers.some(({ ok }) => !ok)) return false;
    const closed = await courier.decide(source, note, (turn) => outgoing.noteClosed(turn, order));
    return closed.ok;
  }

  /** Tells the parents in one partition of all children here that have ended. */
  async #reportEndings(source: number, target: number): Promise<boolean> {
    const courier = this.#ready();
    let reported: readonly ChildEnding[] = [];
    for (;;) {
      const known = reported;
      const size = known.length === 0 ? question : { ...note, bytes: itemBytes * known.length };
      const next = await courier.decide(source, size, (turn) => outgoing.nextEndings(turn, target, known));
      if (!next.ok) return false;
      if (next.value.length === 0) return true;
      const told = await courier.ask(target, 'end', { endings: next.value });
      if (!told.ok) return false;
      reported = next.value;
    }
  }

  async #cascade(source: number, order: number): Promise<boolean> {
    const courier = this.#ready();
    const children = await courier.decide(source, question, (turn) => outgoing.cascadeOf(turn, order));
    if (!children.ok) return false;
    // Not known yet: the release of the flow brings them, and asks for this again.
    if (children.value === undefined) return true;
    const answers = await Promise.all(
      [...byPartition(children.value)].map(([partition, items]) =>
        courier.ask(partition, 'cancel', { items }),
      ),
    );
    if (answers.some(({ ok }) => !ok)) return false;
    const noted = await courier.decide(source, note, (turn) => outgoing.noteCascaded(turn, order));
    return noted.ok;
  }

  #ready(): FlowCourier {
    if (this.#courier === undefined) throw new Error('the outbox runs before it has begun');
    return this.#courier;
  }
}

/** The children of each parent, by its number. */
function childrenOf(members: readonly PlacedMember[]): ReadonlyMap<number, readonly ItemPlace[]> {
  const children = new Map<number, ItemPlace[]>();
  for (const { parent, queue, id } of members) {
    const siblings = children.get(parent) ?? [];
    children.set(parent, siblings);
    siblings.push({ queue, id });
  }
  return children;
}

const given = (children: readonly ItemPlace[] | undefined) => (children === undefined ? {} : { children });

/** What belongs to each partition, by the ids. */
export function byPartition<T extends { readonly id: string }>(
  all: readonly T[],
): ReadonlyMap<number, readonly T[]> {
  const groups = new Map<number, T[]>();
  for (const one of all) {
    const { partition } = parseItemId(one.id);
    const group = groups.get(partition) ?? [];
    groups.set(partition, group);
    group.push(one);
  }
  return groups;
}
