import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { errorMessageLengthMax } from '#shared/protocol/limits.ts';
import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { type StateAnswer, decideCancel } from './admin-decisions.ts';
import { type EnqueueRequest, enqueuedFact } from './enqueue-decisions.ts';
import type { Enqueued } from './facts.ts';
import type { ChildEnded, ChildError, FlowMember, ReleasedMember } from './flow-facts.ts';
import type {
  ChildEnding,
  FlowMessageKind,
  FlowMessages,
  PlaceMessage,
  ReleaseMessage,
} from './flow-messages.ts';
import { type Family, type Item, itemId, parseItemId } from './item.ts';
import { findItem } from './lease-decisions.ts';
import { type Addition, fullQueue } from './queue-room.ts';
import type { Turn } from './turn.ts';

/** A flow as it was asked for. */
export interface FlowRequest {
  readonly root: EnqueueRequest;
  readonly family: Family;
  /** By their numbers, from 1; delays and expiries are still durations. */
  readonly members: readonly FlowMember[];
}

export interface FlowAnswer {
  readonly id: string;
  readonly queue: string;
  readonly state: QueueStatus;
  readonly duplicate: boolean;
  /** Items below the root. */
  readonly children: number;
}

/** Commits a whole flow: its root, and what is to become of the rest. */
export function decideFlow(turn: Turn, { root, family, members }: FlowRequest): Result<FlowAnswer> {
  const { queue, options } = root;
  const known = options.key === undefined ? undefined : turn.table.duplicateOf(queue, options.key, turn.at);
  if (known !== undefined) {
    const item = turn.table.item(known);
    const children = item === undefined ? family.below : (item.family?.below ?? 0);
    // It may be gone already, by its retention: it was final then.
    const state = item?.state ?? 'done';
    return accept({ id: itemId(turn.partition, known), queue, state, duplicate: true, children });
  }
  const full = fullQueue(turn.table, queue, additionOf(root, members));
  if (full !== undefined) return { ok: false, error: full };
  const order = turn.table.nextOrder;
  const id = itemId(turn.partition, order);
  const member = { root: id, number: 0, childQueues: childQueues(members, 0) };
  turn.emit({ ...enqueuedFact(turn, root, undefined), blocked: true, family, member });
  turn.emit({ kind: 'flow-begun', order, queue, members: members.map((one) => timed(one, turn.nowMs)) });
  return accept({ id, queue, state: 'blocked', duplicate: false, children: family.below });
}

/** What a flow brings to the queue that it is asked of. Its other queues' limits do not hold: it is durable first. */
function additionOf(root: EnqueueRequest, members: readonly FlowMember[]): Addition {
  const here = members.filter(({ queue }) => queue === root.queue);
  const bytes = here.reduce((sum, { payload }) => sum + payload.length, root.payload.length);
  return { items: here.length + 1, bytes };
}

/** The queues of the children of the member `number`. */
export const childQueues = (members: readonly FlowMember[], number: number): readonly string[] =>
  members.filter(({ parent }) => parent === number).map(({ queue }) => queue);

// However long it takes until the item exists, its times count from here.
function timed(member: FlowMember, at: number): FlowMember {
  const { delayMs, expiresMs, ...options } = member.options;
  return {
    ...member,
    options: delayMs === undefined ? options : { ...options, runAt: at + delayMs },
    ...(expiresMs === undefined ? {} : { expiresAt: at + expiresMs }),
  };
}

/** What becomes of a message from another partition. */
export function decideMessage<K extends FlowMessageKind>(
  turn: Turn,
  kind: K,
  ask: FlowMessages[K]['ask'],
): FlowMessages[K]['answer'] {
  return deciders[kind](turn, ask);
}

const deciders: {
  readonly [K in FlowMessageKind]: (turn: Turn, ask: FlowMessages[K]['ask']) => FlowMessages[K]['answer'];
} = {
  place: decidePlace,
  release: decideRelease,
  end: (turn, { endings }) => {
    for (const ending of endings) decideChildEnded(turn, ending);
    return {};
  },
  cancel: (turn, { items }) => {
    for (const { id } of items) {
      const item = ownItem(turn, id);
      if (item !== undefined) cancelWithChildren(turn, item);
    }
    return {};
  },
  states: (turn, { ids }) => ({ states: ids.map((id) => stateOf(turn, id)) }),
};

/** Makes items of a flow, each once. Their queues' limits do not hold: the flow is durable, they exist already. */
function decidePlace(turn: Turn, { root, members }: PlaceMessage): { readonly ids: readonly string[] } {
  const ids = members.map(({ number, member, parent, childQueues: queues }) => {
    const known = turn.table.flows.placedMember(root, number);
    if (known !== undefined) return itemId(turn.partition, known);
    const { expiresAt, family } = member;
    const fact: Enqueued = {
      ...enqueuedFact(turn, member, undefined),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(family === undefined ? {} : { family }),
      blocked: true,
      parent,
      member: { root, number, childQueues: queues },
    };
    turn.emit(fact);
    return itemId(turn.partition, fact.order);
  });
  return { ids };
}

function decideRelease(turn: Turn, { root, members }: ReleaseMessage): object {
  const released: ReleasedMember[] = [];
  for (const { number, children } of members) {
    const order = turn.table.flows.heldMember(root, number);
    if (order === undefined) continue;
    released.push({ number, order, ...(children === undefined ? {} : { children }) });
  }
  if (released.length === 0) return {};
  turn.emit({ kind: 'flow-released', root, members: released });
  const free = released.map(({ order }) => order).filter((order) => waitsForNothing(turn, order));
  if (free.length > 0) turn.emit({ kind: 'unblocked', orders: free });
  return {};
}

/** Nothing holds a blocked item any more: its flow is complete, and it has no child to wait for. */
function waitsForNothing(turn: Turn, order: number): boolean {
  const item = turn.table.item(order);
  if (item?.state !== 'blocked') return false;
  const family = item.family === undefined ? undefined : turn.table.flows.family(order);
  return family === undefined || (!family.held && family.left === 0);
}

/** A parent hears how a child ended: what that means is the parent's to say (`onChildFailure`). */
function decideChildEnded(turn: Turn, { parent, ...end }: ChildEnding): void {
  const item = ownItem(turn, parent.id);
  // The parent may be gone, purged or past its retention: nobody wants to know any more.
  if (item?.family === undefined) return;
  const { order, family } = item;
  const before = turn.table.flows.child(order, parent.index);
  if (before !== undefined && before.ending >= end.ending) return;
  const { onChildFailure } = family;
  const counts = end.state === 'done' || onChildFailure === 'continue';
  const fact: ChildEnded = { kind: 'child-ended', order, index: parent.index, ...end, counts };
  turn.emit(fact);
  if (item.state !== 'blocked') return;
  if (end.state !== 'done' && onChildFailure === 'fail')
    turn.emit({ kind: 'child-failed', order, error: childFailure(fact) });
  else if (waitsForNothing(turn, order)) turn.emit({ kind: 'unblocked', orders: [order] });
}

function childFailure({ queue, id, state, error }: ChildEnded): ChildError {
  const cause = error === undefined ? '' : `: ${error.message}`;
  const message = `child ${id} of queue ${queue} is ${state}${cause}`;
  return { message: message.slice(0, errorMessageLengthMax), type: 'child_failed' };
}

/** Cancels an item with everything below it. One that has failed or was cancelled may still have children at work. */
export function decideCancelFamily(turn: Turn, queue: string, id: string): Result<StateAnswer> {
  const found = findItem(turn, queue, id);
  if (!found.ok) return found;
  const item = found.value;
  if (item.family === undefined) return decideCancel(turn, queue, id);
  if (item.state === 'done')
    return refuse('wrong_state', `item ${id} is done already`, { id, state: 'done' });
  cancelWithChildren(turn, item);
  return accept({ id, state: item.state === 'failed' ? 'failed' : 'cancelled' });
}

function cancelWithChildren(turn: Turn, { order, state, family }: Item): void {
  // First the children: with its own end the item may be gone, and what it knows of them.
  if (family !== undefined && turn.table.flows.cascade(order) === undefined)
    turn.emit({ kind: 'cascade-begun', order });
  if (state === 'done' || state === 'failed' || state === 'cancelled') return;
  turn.emit({ kind: 'cancelled', order });
}

/** The state of an item here, or the one that it ended in, while its parent does not know of it. */
function stateOf(turn: Turn, id: string): string | undefined {
  const { order } = parseItemId(id);
  return ownItem(turn, id)?.state ?? turn.table.flows.ending(order)?.state;
}

function ownItem(turn: Turn, id: string): Item | undefined {
  const { partition, order } = parseItemId(id);
  return partition === turn.partition ? turn.table.item(order) : undefined;
}
