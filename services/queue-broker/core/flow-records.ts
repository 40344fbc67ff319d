import { childResultBytesMax } from '#shared/protocol/limits.ts';
import { expiredMessage } from '#shared/protocol/queue-words.ts';
import type { ChildEnded, ChildError, EndState, FlowMember, ItemPlace } from './flow-facts.ts';
import type { Item, Parent } from './item.ts';

// What is kept of flows, as records beside the items (`overlay.ts`). An item's row is written with every change of the
// item; what its children left is not, and is larger.

/** A flow whose items do not all exist, or are not all released. In the root's partition, until it is closed. */
export type OpenFlow =
  | { readonly phase: 'placing'; readonly queue: string; readonly members: readonly FlowMember[] }
  | { readonly phase: 'placed'; readonly members: readonly PlacedMember[] };

/** An item of a flow that exists. */
export interface PlacedMember extends ItemPlace {
  /** Number of its parent. */
  readonly parent: number;
}

/** Which item a member of a flow became: who places it twice finds it. Until it is released. */
export interface MemberRecord {
  readonly order: number;
}

/** How a parent waits, for as long as it exists; of an item without children, until its flow is complete. */
export interface FamilyRecord {
  /** The flow is not complete: whatever becomes of its children, the item is not let go. */
  readonly held: boolean;
  /** Children that it still waits for. */
  readonly left: number;
}

/** A parent's children, by their index. Their ids are known once the flow is complete. */
export interface ChildrenRecord {
  readonly children: readonly { readonly queue: string; readonly id?: string }[];
}

/** What a child left with its parent. */
export interface ChildRecord extends ItemPlace {
  readonly ending: number;
  readonly state: EndState;
  readonly result?: Uint8Array;
  readonly resultOmitted?: true;
  readonly error?: ChildError;
  /** It is not among those that the parent waits for any more. */
  readonly counted: boolean;
}

/** The newest end of a child, until its parent's partition knows of it. */
export interface EndingRecord {
  readonly parent: Parent;
  readonly queue: string;
  readonly ending: number;
  readonly state: EndState;
  readonly result?: Uint8Array;
  readonly resultOmitted?: true;
  readonly error?: ChildError;
}

/** Children that are to be cancelled; undefined until their ids are known. */
export interface CascadeRecord {
  readonly children?: readonly ItemPlace[];
}

export type FlowRecord =
  OpenFlow | MemberRecord | FamilyRecord | ChildrenRecord | ChildRecord | EndingRecord | CascadeRecord;

export const flowKey = (order: number): string => `flow/${order}`;
export const memberKey = (root: string, number: number): string => `flow-member/${root}/${number}`;
export const familyKey = (order: number): string => `flow-family/${order}`;
export const childrenKey = (order: number): string => `flow-children/${order}`;
export const childKey = (order: number, index: number): string => `flow-child/${order}/${index}`;
export const endingKey = (order: number): string => `flow-ending/${order}`;
export const cascadeKey = (order: number): string => `flow-cascade/${order}`;

/** The record of a child that has ended, without what says where it belongs. */
export function childRecord(fact: ChildEnded, counted: boolean): ChildRecord {
  const { kind: _kind, order: _order, index: _index, counts: _counts, ...left } = fact;
  return { ...left, counted };
}

/** What an item leaves to its parent at its end: a result that is small enough, or what went wrong. */
export function endingRecord(item: Item, parent: Parent, state: EndState, ending: number): EndingRecord {
  const end = { parent, queue: item.queue, ending, state };
  if (state === 'done' && item.result !== undefined)
    return item.result.length > childResultBytesMax
      ? { ...end, resultOmitted: true }
      : { ...end, result: item.result };
  const error = state === 'failed' ? failureOf(item) : undefined;
  return error === undefined ? end : { ...end, error };
}

/** Without the stack: that stays with the child. */
function failureOf(item: Item): ChildError | undefined {
  if (item.transitions.at(-1)?.why === 'expired') return { message: expiredMessage, type: 'expired' };
  const error = item.attempts.at(-1)?.error;
  if (error === undefined) return undefined;
  return error.type === undefined ? { message: error.message } : { message: error.message, type: error.type };
}
