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
  readonly isNew?: true;
  /** Milliseconds that it was ready before this claim. */
  readonly waitedMs?: number;
  /** Milliseconds that the attempt ran which ended here. */
  readonly ranMs?: number;
}

/** What the event of this change says about time. */
export function durations(before: Item, after: Item, at: number): Pick<StateEvent, 'waitedMs' | 'ranMs'> {
  if (after.state === 'processing') return { waitedMs: at - before.readyAt };
  if (before.state === 'processing') return { ranMs: at - (before.startedAt ?? at) };
  return {};
}
