import type { Enqueued, Fact } from '#services/queue-broker/core/facts.ts';
import { must } from './must.ts';

/** An item of a flow, or one alone, as simply as it can be said. */
export interface FlowItem {
  readonly id: string;
  readonly queue: string;
  /** Id of the flow's root; its own where it is in none. */
  readonly root: string;
  readonly parent: string | undefined;
  readonly children: number;
  readonly onChildFailure: string;
  state: string;
  /** Whether it ever came to an end, and to a good one: a replayed item has done so already. */
  hasEnded: boolean;
  wasDone: boolean;
}

const final = new Set(['done', 'failed', 'cancelled', 'purged']);

/**
 * What flows are, in the plainest words, over all partitions at once: facts come in the order in which they became
 * durable. Shares nothing with the broker but the form of its facts. Throws the sentence that a fact breaks.
 */
export class FlowModel {
  readonly items = new Map<string, FlowItem>();
  /** Items below each root that a flow was begun with, and those of them that were made. */
  readonly #begun = new Map<string, number>();
  readonly #made = new Map<string, Set<number>>();

  take(partition: number, fact: Fact): void {
    const idOf = (order: number) => `${partition}-${order.toString(36)}`;
    const orders = 'orders' in fact ? fact.orders : 'order' in fact ? [fact.order] : [];
    if (fact.kind === 'enqueued') return this.#enqueue(idOf(fact.order), fact);
    if (fact.kind === 'flow-begun') return void this.#begun.set(idOf(fact.order), fact.members.length);
    for (const order of orders) {
      const item = this.items.get(idOf(order ?? 0));
      if (item !== undefined) this.#step(item, fact);
    }
  }

  get open(): readonly FlowItem[] {
    return [...this.items.values()].filter(({ state }) => !final.has(state));
  }

  childrenOf({ id }: FlowItem): readonly FlowItem[] {
    return [...this.items.values()].filter(({ parent }) => parent === id);
  }

  /** Whether it waits, with good reason, for a child that came to no good end. */
  waitsForGood(item: FlowItem): boolean {
    if (item.state !== 'blocked') return false;
    return this.childrenOf(item).some(
      (child) =>
        (item.onChildFailure === 'wait' && final.has(child.state) && !child.wasDone) ||
        this.waitsForGood(child),
    );
  }

  /** Every flow that was begun has all its items. */
  mustBeWhole(): void {
    for (const root of this.#begun.keys()) this.#mustBeWhole(root, 'looked at when all is over');
  }

  #enqueue(id: string, { queue, member, parent, family, blocked }: Enqueued): void {
    must(!this.items.has(id), `item ${id} is enqueued twice`);
    const { root = id, number = 0 } = member ?? {};
    if (number > 0) {
      const made = this.#made.get(root) ?? new Set();
      must(!made.has(number), `item ${number} of the flow ${root} is made twice`);
      must(parent !== undefined, `item ${id} of the flow ${root} has no parent`);
      must(blocked === true, `item ${id} of the flow ${root} does not wait for the others`);
      this.#made.set(root, made.add(number));
    }
    this.items.set(id, {
      id,
      queue,
      root,
      parent: parent?.id,
      children: family?.children ?? 0,
      onChildFailure: family?.onChildFailure ?? 'fail',
      state: blocked === true ? 'blocked' : 'waiting',
      hasEnded: false,
      wasDone: false,
    });
  }

  #step(item: FlowItem, fact: Fact): void {
    switch (fact.kind) {
      case 'unblocked':
        this.#unblock(item);
        return;
      case 'claimed':
        must(item.state === 'waiting', `item ${item.id} is handed out though it is ${item.state}`);
        this.#mustBeWhole(item.root, `handed out as ${item.id}`);
        item.state = 'processing';
        return;
      case 'completed':
        return this.#end(item, 'done');
      case 'failed':
      case 'lease-expired':
        if (!fact.mayRetry) return this.#end(item, 'failed');
        item.state = 'waiting';
        return;
      case 'released':
        item.state = 'waiting';
        return;
      case 'replayed':
        must(item.state === 'failed', `item ${item.id} is replayed though it is ${item.state}`);
        item.state = 'waiting';
        return;
      case 'child-failed':
        this.#failWithChild(item);
        return this.#end(item, 'failed');
      case 'expired':
        return this.#end(item, 'failed');
      case 'cancelled':
        return this.#end(item, 'cancelled');
      case 'purged':
        item.hasEnded = true;
        item.state = 'purged';
        return;
      default:
        return undefined;
    }
  }

  #unblock(item: FlowItem): void {
    must(item.state === 'blocked', `item ${item.id} is let go though it is ${item.state}`);
    this.#mustBeWhole(item.root, `let go as ${item.id}`);
    const children = this.childrenOf(item);
    must(children.length === item.children, `item ${item.id} has ${children.length} of its children`);
    const early = children.find((child) =>
      item.onChildFailure === 'continue' ? !child.hasEnded : !child.wasDone,
    );
    must(early === undefined, `item ${item.id} is let go before its child ${early?.id}, ${early?.state}`);
    item.state = 'waiting';
  }

  #failWithChild(item: FlowItem): void {
    must(item.onChildFailure === 'fail', `item ${item.id} fails with a child, and was not to`);
    const bad = this.childrenOf(item).find((child) => child.hasEnded && !child.wasDone);
    must(
      bad !== undefined || this.childrenOf(item).some(({ hasEnded }) => hasEnded),
      `item ${item.id} fails with a child, and none has failed`,
    );
  }

  #end(item: FlowItem, state: 'done' | 'failed' | 'cancelled'): void {
    must(!final.has(item.state), `item ${item.id} is ${state} though it was ${item.state} already`);
    item.state = state;
    item.hasEnded = true;
    if (state === 'done') item.wasDone = true;
  }

  #mustBeWhole(root: string, what: string): void {
    const [begun, made] = [this.#begun.get(root) ?? 0, this.#made.get(root)?.size ?? 0];
    must(begun === made, `the flow ${root} is ${what} while ${made} of its ${begun} items exist`);
  }
}
