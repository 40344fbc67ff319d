import { type Result, accept } from '#shared/protocol/errors.ts';
import { linesKept } from './item-logs.ts';
import { type LeaseRequest, findHeld } from './lease-decisions.ts';
import type { Turn } from './turn.ts';

export interface LogRequest extends LeaseRequest {
  readonly lines: readonly string[];
}

export interface LogAnswer {
  readonly id: string;
  /** Lines kept for the item. */
  readonly count: number;
}

/** Writes down lines for an item: its holder may, and nobody else. */
export function decideLog(turn: Turn, queue: string, { lines, ...lease }: LogRequest): Result<LogAnswer> {
  const held = findHeld(turn, queue, lease);
  if (!held.ok) return held;
  const { order } = held.value;
  turn.emit({ kind: 'logged', order, lines });
  return accept({ id: lease.id, count: linesKept(turn.table.item(order)?.logged) });
}
