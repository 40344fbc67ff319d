import type { Item } from './item.ts';
import type { Turn } from './turn.ts';

/** Items that one turn wakes: keeps a crowd of due items from holding up requests. */
const wokenMax = 1_000;

/**
 * Writes down what time has changed: due delays and retries, expired leases, attempts that ran too long, waiting
 * items that grew too old, finished ones past their retention.
 * @returns true when more is due already
 */
export function decideTime(turn: Turn): boolean {
  const woken = turn.table.takeWoken(turn.at, wokenMax);
  const due: number[] = [];
  for (const item of woken) {
    if (item.state === 'processing') endLease(turn, item);
    else if (item.expiresAt !== undefined && item.expiresAt <= turn.at)
      turn.emit({ kind: 'expired', orders: [item.order] });
    else due.push(item.order);
  }
  if (due.length > 0) turn.emit({ kind: 'due', orders: due });
  return woken.length === wokenMax;
}

/** Sweeps queues whose finished items are beyond their retention. Call it rarely: it looks at every queue. */
export function decideSweep(turn: Turn): void {
  for (const queue of turn.table.queues.values())
    if (queue.isOverdue(turn.at)) turn.emit({ kind: 'swept', queue: queue.name });
}

/**
 * Goes on where sweeping did not come to its end: a record removes a few thousand items at most.
 * @returns true when there is still more
 */
export function decideMoreSweeps(turn: Turn): boolean {
  const [queue] = turn.table.unswept;
  if (queue !== undefined) turn.emit({ kind: 'swept', queue });
  return turn.table.unswept.size > 0;
}

// An expired lease charges the attempt: an item that kills its workers must not come back for ever.
function endLease(turn: Turn, item: Item): void {
  const expired = item.lease !== undefined && item.lease.expiresAt <= turn.at;
  turn.emit({
    kind: 'lease-expired',
    order: item.order,
    mayRetry: item.attempt < item.attemptsMax,
    why: expired ? 'lease_expired' : 'timeout',
  });
}
