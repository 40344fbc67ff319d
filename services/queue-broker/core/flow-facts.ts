import type { Family } from './item.ts';
import type { ItemOptions } from './item-options.ts';

// What the log says of flows (docs/protocol.md, Flows). The root of a flow is enqueued and `flow-begun` follows in the
// same record, which commits the whole. What is still to be done is kept in records (`flow-records.ts`), from which
// `flow-outbox.ts` does it, however often it is interrupted.

export type FlowFact = FlowRecordFact | Unblocked | ChildFailed;

/** Facts that change what is kept of a flow, and no item. */
export type FlowRecordFact =
  | FlowBegun
  | FlowPlaced
  | FlowReleased
  | FlowClosed
  | ChildEnded
  | EndingsReported
  | CascadeBegun
  | CascadeEnded;

/** Where an item stands in its flow, and in which queues its children do. On `enqueued`. */
export interface FlowPlace {
  /** Id of the flow's root. */
  readonly root: string;
  /** Its number in the flow; the root is 0. */
  readonly number: number;
  readonly childQueues: readonly string[];
}

/** One item of a flow besides the root, before it exists. */
export interface FlowMember {
  readonly queue: string;
  readonly payload: Uint8Array;
  readonly payloadIsJson: boolean;
  readonly contentType?: string;
  /** Its delay and its expiry are moments already: they count from the flow's beginning. */
  readonly options: ItemOptions;
  readonly expiresAt?: number;
  /** Number of its parent, which is less than its own. */
  readonly parent: number;
  /** Its place among its parent's children. */
  readonly index: number;
  readonly family?: Family;
}

/** An item by its queue and id. */
export interface ItemPlace {
  readonly queue: string;
  readonly id: string;
}

export type EndState = 'done' | 'failed' | 'cancelled' | 'purged';

/** A flow is to be built below an item that has just been enqueued. */
export interface FlowBegun {
  readonly kind: 'flow-begun';
  readonly order: number;
  /** The root's. */
  readonly queue: string;
  /** By their numbers, from 1. */
  readonly members: readonly FlowMember[];
}

/** All items of a flow exist; in the root's partition. */
export interface FlowPlaced {
  readonly kind: 'flow-placed';
  readonly order: number;
  /** Of the members, by their numbers, from 1. */
  readonly ids: readonly string[];
}

/** Items of a flow need not wait for the rest of it any more; in each partition that holds some. */
export interface FlowReleased {
  readonly kind: 'flow-released';
  readonly root: string;
  readonly members: readonly ReleasedMember[];
}

export interface ReleasedMember {
  readonly number: number;
  readonly order: number;
  readonly children?: readonly ItemPlace[];
}

/** All items of a flow have been released; in the root's partition. */
export interface FlowClosed {
  readonly kind: 'flow-closed';
  readonly order: number;
}

/** Blocked items have nothing to wait for any more. */
export interface Unblocked {
  readonly kind: 'unblocked';
  readonly orders: readonly number[];
}

/** How a child ended; in the parent's partition. */
export interface ChildEnded extends ItemPlace {
  readonly kind: 'child-ended';
  /** The parent. */
  readonly order: number;
  readonly index: number;
  /** Grows with each end of this child: a replayed one ends again. */
  readonly ending: number;
  readonly state: EndState;
  /** The parent need not wait for it any more. */
  readonly counts: boolean;
  readonly result?: Uint8Array;
  readonly resultOmitted?: true;
  readonly error?: ChildError;
}

export interface ChildError {
  readonly message: string;
  readonly type?: string;
}

/** A child's failure is its parent's. */
export interface ChildFailed {
  readonly kind: 'child-failed';
  readonly order: number;
  readonly error: ChildError;
}

/** The parents know of these endings; in the children's partition. */
export interface EndingsReported {
  readonly kind: 'endings-reported';
  readonly endings: readonly { readonly order: number; readonly ending: number }[];
}

/** The items below this one are to be cancelled. */
export interface CascadeBegun {
  readonly kind: 'cascade-begun';
  readonly order: number;
}

/** Its children have been cancelled, and go on with theirs. */
export interface CascadeEnded {
  readonly kind: 'cascade-ended';
  readonly order: number;
}
