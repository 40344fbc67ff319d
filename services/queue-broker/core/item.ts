import type { OnChildFailure } from '#shared/protocol/queue-more-schemas.ts';
import type { Failure, QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Backoff } from './retry-policy.ts';

/**
 * A queue item as the table holds it. Immutable: a change is a new object. Whoever makes one names every field, in
 * the order of `newItem`, `undefined` ones too: objects of one shape are copied and read several times faster.
 */
export interface Item {
  /** Its place in the partition, from 1; never given twice. The public id is made of it. */
  readonly order: number;
  readonly queue: string;
  readonly state: QueueStatus;
  /** 0 critical to 3 low. */
  readonly band: number;
  /**
   * Place among the ready items of its band: given anew each time it becomes pending, kept by `release`. Once it has
   * finished, its place among the finished items: many may finish in one millisecond.
   */
  readonly readyOrder: number;
  readonly readyAt: number;
  readonly group?: string | undefined;
  readonly key?: string | undefined;
  /** Attempts started and not handed back. */
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly backoff: Backoff;
  /** Longest run of one attempt. */
  readonly timeoutMs?: number | undefined;
  /** From then on a waiting item is not handed out any more. */
  readonly expiresAt?: number | undefined;
  readonly enqueuedAt: number;
  /** When a scheduled or retried item becomes pending; of a blocked one, not before then. */
  readonly runAt?: number | undefined;
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
  /** Of the newest claim; 0 before the first. Only grows. */
  readonly token: number;
  readonly lease?: Lease | undefined;
  /** How the newest finished claim ended: what a repeated `complete`, `fail` or `release` is answered with. */
  readonly settled?: Settled | undefined;
  readonly attempts: readonly Attempt[];
  readonly transitions: readonly StateChange[];
  readonly progress?: Uint8Array | undefined;
  readonly result?: Uint8Array | undefined;
  readonly contentType?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The payload is JSON text, so that replies can carry it as it is. */
  readonly payloadIsJson: boolean;
  readonly payloadBytes: number;
  /** A small payload, which stands in the item's own row; a larger one has a row to itself. */
  readonly inline?: Uint8Array | undefined;
  /** Text of the payload's declared search fields, by path. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
  /** The item of a flow that waits for this one. */
  readonly parent?: Parent | undefined;
  /** It has children, and waits for them. */
  readonly family?: Family | undefined;
  /** What workers logged for it (`item-logs.ts`). */
  readonly logged?: Logged | undefined;
}

/** How much was logged for an item; the lines stand elsewhere. */
export interface Logged {
  /** Lines that were written; not all of them are kept. */
  readonly count: number;
  /** Bytes of those that are stored. */
  readonly bytes: number;
}

/** Where in a flow an item belongs: its parent, and its place among the parent's children. */
export interface Parent {
  readonly queue: string;
  readonly id: string;
  readonly index: number;
}

/** What an item of a flow knows of its children; how many of them have ended is kept beside it (`flow-records.ts`). */
export interface Family {
  /** Its own children. */
  readonly children: number;
  /** All items below it. */
  readonly below: number;
  readonly onChildFailure: OnChildFailure;
}

export interface Lease {
  readonly leaseMs: number;
  readonly expiresAt: number;
  readonly worker?: string | undefined;
  /** `Nats-Msg-Id` of the dequeue that claimed it. */
  readonly claim?: string | undefined;
}

export interface Settled {
  readonly token: number;
  readonly by: 'complete' | 'fail' | 'release';
  readonly state: QueueStatus;
  readonly attempt: number;
  readonly nextAttemptAt?: number;
}

export interface Attempt {
  readonly attempt: number;
  readonly startedAt: number;
  readonly endedAt?: number;
  readonly error?: Failure;
  readonly worker?: string;
}

export interface StateChange {
  readonly at: number;
  /** null: it was enqueued. */
  readonly from: QueueStatus | null;
  readonly to: QueueStatus;
  readonly why: string;
}

/** The public id: partition and place, in base 36. */
export const itemId = (partition: number, order: number): string =>
  `${prefixes[partition] ?? `${partition.toString(36)}-`}${order.toString(36)}`;

const prefixes = Array.from({ length: 256 }, (_, partition) => `${partition.toString(36)}-`);

/** Partition and place of a public id. The schema has checked its form. */
export function parseItemId(id: string): { readonly partition: number; readonly order: number } {
  let partition = 0;
  let number = 0;
  // By hand: splitting and `parseInt` take a microsecond, and every operation on an item begins here.
  for (let index = 0; index < id.length; index += 1) {
    const code = id.charCodeAt(index);
    if (code === hyphen) {
      partition = number;
      number = 0;
    } else number = number * 36 + (code < letterA ? code - digit0 : code - letterA + 10);
  }
  return { partition, order: number };
}

const hyphen = 45;
const digit0 = 48;
const letterA = 97;

/**
 * The next moment at which time itself changes the item, or undefined: a due delay or retry, an expired lease,
 * an attempt that ran too long, a waiting item that grew too old.
 */
export function wakeAt(item: Item): number | undefined {
  if (item.state === 'processing') return processingWakeAt(item);
  if (item.state === 'scheduled' || item.state === 'retry') return earliest(item.runAt, item.expiresAt);
  if (item.state === 'pending' || item.state === 'blocked') return item.expiresAt;
  return undefined;
}

function processingWakeAt(item: Item): number | undefined {
  const timesOutAt =
    item.timeoutMs === undefined || item.startedAt === undefined
      ? undefined
      : item.startedAt + item.timeoutMs;
  return earliest(item.lease?.expiresAt, timesOutAt);
}

const earliest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);

/** True for the states that nothing but `replay` leaves. */
export const isFinal = (state: QueueStatus): boolean =>
  state === 'done' || state === 'failed' || state === 'cancelled';
