import { type Encoding, encode } from '#shared/protocol/encoding.ts';
import { type Result, accept } from '#shared/protocol/errors.ts';
import { replyBytesMax } from '#shared/protocol/limits.ts';
import type { ChildView } from '#shared/protocol/queue-more-schemas.ts';
import type { ChildRecord } from './core/flow-records.ts';
import type { Item } from './core/item.ts';
import type { Turn } from './core/turn.ts';
import type { FlowCourier } from './flow-courier.ts';
import { byPartition } from './flow-outbox.ts';
import { shownValue } from './kept-value.ts';

/** A child as its parent knows it. */
export interface KnownChild {
  readonly queue: string;
  /** Not known before the flow is complete. */
  readonly id?: string;
  /** How it ended, as far as the parent has heard. */
  readonly left?: ChildRecord;
}

/** Bytes of a reply besides the results in it. */
const envelopeBytes = 1_024;

/** The children of an item, by their index. */
export function childrenOf(turn: Turn, { order }: Item): readonly KnownChild[] {
  return turn.table.flows.children(order).map((child, index) => {
    const left = turn.table.flows.child(order, index);
    return left === undefined ? child : { queue: left.queue, id: left.id, left };
  });
}

/**
 * The state of each child now. Their partitions are asked: a parent hears of ends alone, and what ended may have been
 * replayed since. A child that is gone is as the parent knows it.
 */
export async function childStates(
  courier: FlowCourier,
  children: readonly KnownChild[],
): Promise<Result<readonly string[]>> {
  const asked = children.flatMap(({ id }, index) => (id === undefined ? [] : [{ id, index }]));
  const states = children.map(({ left }) => left?.state ?? 'blocked') as string[];
  const answers = await Promise.all(
    [...byPartition(asked)].map(async ([partition, here]) => ({
      here,
      answer: await courier.ask(partition, 'states', { ids: here.map(({ id }) => id) }),
    })),
  );
  for (const { here, answer } of answers) {
    if (!answer.ok) return answer;
    for (const [at, { index }] of here.entries())
      states[index] = answer.value.states[at] ?? states[index] ?? '';
  }
  return accept(states);
}

/** `children` of `get`. */
export const childPlaces = (children: readonly KnownChild[], states: readonly string[]) =>
  children.map(({ queue, id }, index) => ({
    queue,
    ...(id === undefined ? {} : { id }),
    state: states[index] ?? 'blocked',
  }));

/** The items of `children`: what each child left, as far as it fits into one reply. */
export function childViews(
  children: readonly KnownChild[],
  states: readonly string[],
  encoding: Encoding,
): readonly ChildView[] {
  let bytes = envelopeBytes;
  return childPlaces(children, states).map((place, index) => {
    const view: ChildView = { ...place, ...leftView(children[index]?.left, encoding) };
    const size = encode(view, encoding).length + 1;
    // Room is kept for the places of those that follow.
    const fits = bytes + size + (children.length - index) * envelopeBytes <= replyBytesMax;
    bytes += fits ? size : envelopeBytes;
    if (fits) return view;
    return view.result === undefined ? place : { ...place, resultOmitted: true };
  });
}

function leftView(left: ChildRecord | undefined, encoding: Encoding) {
  if (left === undefined) return {};
  const { result, resultOmitted, error } = left;
  return {
    ...(result === undefined ? {} : { result: shownValue(result, encoding) }),
    ...(resultOmitted === undefined ? {} : { resultOmitted }),
    ...(error === undefined ? {} : { error }),
  };
}
