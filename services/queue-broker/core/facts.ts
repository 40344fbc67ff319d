import type { Failure } from '#shared/protocol/queue-schemas.ts';
import type { FlowFact, FlowPlace } from './flow-facts.ts';
import type { Family, Parent } from './item.ts';
import type { Schedule } from './schedule.ts';
import type { StoredSettings } from './queue-settings.ts';
import type { Backoff } from './retry-policy.ts';

/**
 * What the log holds: things that have been decided, never requests. Replaying them in order gives the table.
 * A fact carries no time of its own: the batch it stands in has one, and that is the time of all its facts.
 */
export type Fact =
  | Enqueued
  | Claimed
  | Completed
  | Failed
  | Extended
  | LoggedLines
  | Released
  | LeaseExpired
  | Due
  | Expired
  | Cancelled
  | Replayed
  | Reprioritized
  | Updated
  | Replaced
  | Ingested
  | QueuePaused
  | Configured
  | ScheduleSet
  | ScheduleRemoved
  | SlotPassed
  | Swept
  | Purged
  | QueueForgotten
  | FlowFact;

export interface Enqueued {
  readonly kind: 'enqueued';
  readonly order: number;
  readonly queue: string;
  readonly band: number;
  readonly payload: Uint8Array;
  readonly payloadIsJson: boolean;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
  readonly runAt?: number;
  readonly timeoutMs?: number;
  readonly expiresAt?: number;
  readonly group?: string;
  readonly key?: string;
  /** Until when the key stands for this item. */
  readonly dedupUntil?: number;
  /** The item that the key stood for: it is being worked on, or final, and this one was asked for beside it. */
  readonly supersedes?: number;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Why a plain publish could not be understood: it is kept, as failed. */
  readonly refused?: Failure;
  /** It is part of a flow: it waits until the flow, and then its children, let it go. */
  readonly blocked?: true;
  readonly parent?: Parent;
  readonly family?: Family;
  readonly member?: FlowPlace;
}

export interface Claimed {
  readonly kind: 'claimed';
  readonly orders: readonly number[];
  readonly leaseMs: number;
  readonly worker?: string;
  readonly claim?: string;
}

export interface Completed {
  readonly kind: 'completed';
  /** Those that left no result stand together. */
  readonly orders: readonly number[];
  readonly result?: Uint8Array;
}

export interface Failed {
  readonly kind: 'failed';
  readonly order: number;
  readonly error: Failure;
  readonly mayRetry: boolean;
  readonly nextAttemptAt?: number;
}

export interface Extended {
  readonly kind: 'extended';
  readonly order: number;
  readonly leaseMs: number;
  readonly progress?: Uint8Array;
}

/** The holder of an item wrote lines down for it. */
export interface LoggedLines {
  readonly kind: 'logged';
  readonly order: number;
  readonly lines: readonly string[];
}

export interface Released {
  readonly kind: 'released';
  readonly order: number;
  /** Not before then: the worker asked for a pause. */
  readonly runAt?: number;
}

export interface LeaseExpired {
  readonly kind: 'lease-expired';
  readonly order: number;
  readonly mayRetry: boolean;
  readonly why: 'lease_expired' | 'timeout';
}

/** Delays and back-offs that have passed. */
export interface Due {
  readonly kind: 'due';
  readonly orders: readonly number[];
}

/** Waiting items that grew too old. */
export interface Expired {
  readonly kind: 'expired';
  readonly orders: readonly number[];
}

export interface Cancelled {
  readonly kind: 'cancelled';
  readonly order: number;
}

export interface Replayed {
  readonly kind: 'replayed';
  readonly orders: readonly number[];
}

export interface Reprioritized {
  readonly kind: 'reprioritized';
  readonly order: number;
  readonly band: number;
}

/** A waiting item was edited: what is absent stays as it is. */
export interface Updated {
  readonly kind: 'updated';
  readonly order: number;
  readonly content?: Content;
  readonly band?: number;
  readonly attemptsMax?: number;
  readonly backoff?: Backoff;
  readonly timeoutMs?: number;
  readonly expiresAt?: number;
  /** When it is to run now; not after the batch: at once. */
  readonly runAt?: number;
}

/** A waiting item was given everything anew but its place, its group and its key: what is absent it has no more. */
export interface Replaced {
  readonly kind: 'replaced';
  readonly order: number;
  readonly content: Content;
  readonly band: number;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
  readonly timeoutMs?: number;
  readonly expiresAt?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Its delay began anew. Without it its time stays. */
  readonly runAt?: number;
}

/** A payload and what is known of it. */
export interface Content {
  readonly payload: Uint8Array;
  readonly payloadIsJson: boolean;
  readonly contentType?: string;
}

/** How far the ingest stream has been read: what stands before it is in the log. */
export interface Ingested {
  readonly kind: 'ingested';
  /** Identity of the ingest stream: a new stream counts from 1 again. */
  readonly stream: string;
  readonly sequence: number;
}

export interface QueuePaused {
  readonly kind: 'queue-paused';
  readonly queue: string;
  readonly paused: boolean;
}

/** The queue's settings from here on: all that differ from the defaults. */
export interface Configured {
  readonly kind: 'configured';
  readonly queue: string;
  readonly settings: StoredSettings;
}

/** A queue has this schedule from here on. */
export interface ScheduleSet {
  readonly kind: 'schedule-set';
  readonly queue: string;
  readonly name: string;
  readonly schedule: Schedule;
  /** It is new, or its slots are others now: it begins with this one. */
  readonly begins?: { readonly nextAt?: number };
}

export interface ScheduleRemoved {
  readonly kind: 'schedule-removed';
  readonly queue: string;
  readonly name: string;
}

/** A schedule has come beyond a slot. The item that the slot made stands in the same record, before this. */
export interface SlotPassed {
  readonly kind: 'slot-passed';
  readonly queue: string;
  readonly name: string;
  /** The slot that fired; without it slots that were missed went by. */
  readonly slot?: number;
  /** The item that it made. */
  readonly order?: number;
  /** It made none, because the queue was full. */
  readonly full?: true;
  /** The slot that is awaited now. */
  readonly nextAt?: number;
  /** Slots up to here were missed, and fire all the same. */
  readonly makesUpTo?: number;
}

/** Finished items past their retention are gone. Written for idle queues; busy ones are swept as they finish items. */
export interface Swept {
  readonly kind: 'swept';
  readonly queue: string;
}

/** Items were removed for good, in whatever state they were. */
export interface Purged {
  readonly kind: 'purged';
  readonly orders: readonly number[];
}

/** A queue of which no item is left is no more: its settings and whatever else is known of it are gone. */
export interface QueueForgotten {
  readonly kind: 'queue-forgotten';
  readonly queue: string;
}

/** One message of the log. */
export interface Batch {
  readonly version: 3;
  /** The fence in force when it was decided: a record with another one is not applied. */
  readonly epoch: number;
  /** Epoch milliseconds; never less than the batch before it. */
  readonly at: number;
  readonly facts: readonly Fact[];
}

/** What the fence record says. Its own sequence is the epoch. */
export interface Fence {
  readonly version: 1;
  readonly broker: string;
  readonly at: number;
  /** The owner raised it over its own: leases do not begin anew. */
  readonly renewed?: true;
}
