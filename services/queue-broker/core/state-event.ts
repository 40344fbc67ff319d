import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import type { Item } from './item.ts';

/** A change of state that others may want to hear of. */
export interface StateEvent {
  readonly order: number;
  readonly queue: string;
  readonly state: QueueStatus;
  readonly band: number;
  readonly attempt: number;
  /** The item has just come in. */
  readonly isNew: boolean;
  /** Milliseconds that it was ready before this claim. */
  readonly waitedMs: number | undefined;
  /** Milliseconds that the attempt ran which ended here; undefined also for one that is not charged. */
  readonly ranMs: number | undefined;
  /** Milliseconds after its time that a delayed item became ready. */
  readonly lateMs: number | undefined;
  /** Who has claimed the item or ended its attempt; undefined where nobody did, or nobody who said a name. */
  readonly worker: string | undefined;
}

/** The event of an item that came in (`before` is undefined) or changed its state. */
export function stateEvent(before: Item | undefined, after: Item, at: number): StateEvent {
  const ended = before?.state === 'processing' && after.state !== 'processing';
  const due = (before?.state === 'scheduled' || before?.state === 'retry') && after.state === 'pending';
  return {
    order: after.order,
    queue: after.queue,
    state: after.state,
    band: after.band,
    attempt: after.attempt,
    isNew: before === undefined,
    waitedMs: after.state === 'processing' ? at - readySince(before, at) : undefined,
    // Handed back, it was no attempt: most such items were only held by a worker.
    ranMs: ended && after.attempt === before.attempt ? at - (before.startedAt ?? at) : undefined,
    // One that was told to come sooner is not late.
    lateMs: due && before.runAt !== undefined && before.runAt <= at ? at - before.runAt : undefined,
    worker: ended ? whoEnded(before, after) : after.lease?.worker,
  };
}

/** An item that was handed back has its old place, and `readyAt` with it; while somebody held it, it was not ready. */
const readySince = (before: Item | undefined, at: number): number =>
  Math.max(before?.readyAt ?? at, before?.transitions.at(-1)?.at ?? 0);

/** A lease that ran out, or an item that was cancelled, is no sign of its worker. */
const whoEnded = (before: Item, after: Item): string | undefined =>
  after.settled?.token === before.token ? before.lease?.worker : undefined;
