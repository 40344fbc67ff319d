import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { isFinal } from './item.ts';
import { findItem } from './lease-decisions.ts';
import type { Turn } from './turn.ts';

export interface StateAnswer {
  readonly id: string;
  readonly state: QueueStatus;
}

/** Cancels an item in any state that is not final. A running worker learns of it from `extend`. */
export function decideCancel(turn: Turn, queue: string, id: string): Result<StateAnswer> {
  const found = findItem(turn, queue, id);
  if (!found.ok) return found;
  // Cancelling twice is the same wish: the first reply may have been lost.
  if (found.value.state === 'cancelled') return accept({ id, state: 'cancelled' });
  if (isFinal(found.value.state)) {
    return refuse('wrong_state', `item ${id} is ${found.value.state} already`, {
      id,
      state: found.value.state,
    });
  }
  turn.emit({ kind: 'cancelled', order: found.value.order });
  return accept({ id, state: 'cancelled' });
}

/** Cancels items of one state, the oldest first. @returns how many */
export function decideCancelState(turn: Turn, queue: string, state: QueueStatus, limit: number): number {
  const orders: number[] = [];
  for (const order of turn.table.queue(queue)?.ordersOf(state, 0) ?? []) {
    orders.push(order);
    if (orders.length === limit) break;
  }
  for (const order of orders) turn.emit({ kind: 'cancelled', order });
  return orders.length;
}

/** Gives a failed item all its attempts again. */
export function decideReplay(turn: Turn, queue: string, id: string): Result<StateAnswer> {
  const found = findItem(turn, queue, id);
  if (!found.ok) return found;
  if (found.value.state !== 'failed') {
    return refuse('wrong_state', `item ${id} is ${found.value.state}, only failed items are replayed`, {
      id,
      state: found.value.state,
    });
  }
  if (turn.table.flows.isHeld(found.value.order))
    return refuse('wrong_state', `the flow of item ${id} is not complete yet`, { id, state: 'failed' });
  turn.emit({ kind: 'replayed', orders: [found.value.order] });
  return accept({ id, state: 'pending' });
}

/**
 * Gives failed items above `after` all their attempts again, the oldest first, but for those of flows that are not
 * complete yet. What fails again at once is not met again by who goes on above the last one.
 * @returns the orders of the items, ascending
 */
export function decideReplayFailed(
  turn: Turn,
  queue: string,
  { after, limit }: { readonly after: number; readonly limit: number },
): readonly number[] {
  const orders: number[] = [];
  for (const order of turn.table.queue(queue)?.ordersOf('failed', after) ?? []) {
    if (turn.table.flows.isHeld(order)) continue;
    orders.push(order);
    if (orders.length === limit) break;
  }
  if (orders.length > 0) turn.emit({ kind: 'replayed', orders });
  return orders;
}

export function decideReprioritize(turn: Turn, queue: string, id: string, band: number): Result<StateAnswer> {
  const found = findItem(turn, queue, id);
  if (!found.ok) return found;
  const { state, order } = found.value;
  if (isFinal(state) || state === 'processing') {
    return refuse('wrong_state', `item ${id} is ${state}: its priority no longer matters`, { id, state });
  }
  if (found.value.band !== band) turn.emit({ kind: 'reprioritized', order, band });
  return accept({ id, state });
}

/** Stops or lets on handing out; what is delayed goes on ripening. */
export function decidePause(turn: Turn, queue: string, paused: boolean): void {
  if ((turn.table.queue(queue)?.paused ?? false) !== paused)
    turn.emit({ kind: 'queue-paused', queue, paused });
}
