import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { type QueueStatus, states } from '#shared/protocol/queue-schemas.ts';
import { findItem } from './lease-decisions.ts';
import type { Turn } from './turn.ts';

export interface PurgeAnswer {
  /** Items removed. */
  readonly count: number;
  /** There are more of them. */
  readonly more: boolean;
}

/** Removes one item for good. One that is worked on is its worker's: it is cancelled first. */
export function decidePurge(turn: Turn, queue: string, id: string): Result<PurgeAnswer> {
  const found = findItem(turn, queue, id);
  if (!found.ok) return found;
  const { order, state } = found.value;
  if (state === 'processing')
    return refuse('wrong_state', `item ${id} is being worked on, cancel it first`, { id, state });
  turn.emit({ kind: 'purged', orders: [order] });
  return accept({ count: 1, more: false });
}

/** Removes items of one state, the oldest first. */
export function decidePurgeState(turn: Turn, queue: string, state: QueueStatus, limit: number): PurgeAnswer {
  const index = turn.table.queue(queue);
  const orders = first(limit, index?.ordersOf(state, 0) ?? []);
  if (orders.length > 0) turn.emit({ kind: 'purged', orders });
  return { count: orders.length, more: (index?.countOf(state) ?? 0) > 0 };
}

/** Removes a queue: its items, those that are worked on among them, and with the last one whatever else is known of it. */
export function decidePurgeAll(turn: Turn, queue: string, limit: number): PurgeAnswer {
  const index = turn.table.queue(queue);
  if (index === undefined) return { count: 0, more: false };
  const orders: number[] = [];
  for (const state of states) orders.push(...first(limit - orders.length, index.ordersOf(state, 0)));
  if (orders.length > 0) turn.emit({ kind: 'purged', orders });
  if (index.isEmpty) turn.emit({ kind: 'queue-forgotten', queue });
  return { count: orders.length, more: !index.isEmpty };
}

function first(limit: number, orders: Iterable<number>): readonly number[] {
  const taken: number[] = [];
  if (limit <= 0) return taken;
  for (const order of orders) {
    taken.push(order);
    if (taken.length === limit) break;
  }
  return taken;
}
