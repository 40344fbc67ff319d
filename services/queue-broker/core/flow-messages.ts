import type { ChildError, EndState, FlowMember, ItemPlace } from './flow-facts.ts';
import type { Parent } from './item.ts';

/**
 * What one partition asks of another for a flow, and what it is answered. Plain data, and each may be asked any number
 * of times with the same outcome: an answer may have been lost, and partitions may live in different brokers.
 */
export interface FlowMessages {
  /** Make these items, blocked. Answered with their ids, in order. */
  readonly place: { readonly ask: PlaceMessage; readonly answer: { readonly ids: readonly string[] } };
  /** All items of the flow exist: these need not wait for it any more. */
  readonly release: { readonly ask: ReleaseMessage; readonly answer: object };
  /** Children of items here have ended. */
  readonly end: { readonly ask: EndMessage; readonly answer: object };
  /** Cancel these items, and what is below them. */
  readonly cancel: { readonly ask: { readonly items: readonly ItemPlace[] }; readonly answer: object };
  /** In which states are these items? Undefined for one that is not there. */
  readonly states: {
    readonly ask: { readonly ids: readonly string[] };
    readonly answer: { readonly states: readonly (string | undefined)[] };
  };
}

export type FlowMessageKind = keyof FlowMessages;

export interface PlaceMessage {
  /** Id of the flow's root. */
  readonly root: string;
  readonly members: readonly PlacingMember[];
}

export interface PlacingMember {
  readonly number: number;
  readonly member: FlowMember;
  readonly parent: Parent;
  readonly childQueues: readonly string[];
}

export interface ReleaseMessage {
  readonly root: string;
  readonly members: readonly { readonly number: number; readonly children?: readonly ItemPlace[] }[];
}

export interface EndMessage {
  readonly endings: readonly ChildEnding[];
}

/** How a child ended, on its way to its parent. */
export interface ChildEnding extends ItemPlace {
  readonly parent: Parent;
  readonly ending: number;
  readonly state: EndState;
  readonly result?: Uint8Array;
  readonly resultOmitted?: true;
  readonly error?: ChildError;
}
