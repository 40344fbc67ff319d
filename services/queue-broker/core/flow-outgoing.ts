import type { ItemPlace } from './flow-facts.ts';
import type { ChildEnding } from './flow-messages.ts';
import type { OpenFlow } from './flow-records.ts';
import { itemId, parseItemId } from './item.ts';
import type { Turn } from './turn.ts';

// The outbox's side of a flow: what it looks up in a partition's own table, and what it writes down there when another
// partition has answered. Each of these may happen again after a crash, and then changes nothing.

/** Endings that go in one message, and their bytes. */
const endingsMax = 256;
const endingsBytesMax = 524_288;

export const openFlow = (turn: Turn, order: number): OpenFlow | undefined => turn.table.flows.flow(order);

/** All items of a flow exist. */
export function notePlaced(turn: Turn, order: number, ids: readonly string[]): void {
  if (turn.table.flows.flow(order)?.phase === 'placing') turn.emit({ kind: 'flow-placed', order, ids });
}

/** All items of a flow are released: nothing is left to be done for it. */
export function noteClosed(turn: Turn, order: number): void {
  if (turn.table.flows.flow(order) !== undefined) turn.emit({ kind: 'flow-closed', order });
}

/** Children to be cancelled, or undefined while their ids are not known. */
export const cascadeOf = (turn: Turn, order: number): readonly ItemPlace[] | undefined =>
  turn.table.flows.cascade(order)?.children;

export function noteCascaded(turn: Turn, order: number): void {
  if (turn.table.flows.cascade(order) !== undefined) turn.emit({ kind: 'cascade-ended', order });
}

/** Notes what the parents in partition `target` know by now, and gives what they are to hear next. */
export function nextEndings(
  turn: Turn,
  target: number,
  reported: readonly ChildEnding[],
): readonly ChildEnding[] {
  const known = reported.map(({ id, ending }) => ({ order: parseItemId(id).order, ending }));
  if (known.length > 0) turn.emit({ kind: 'endings-reported', endings: known });
  const next: ChildEnding[] = [];
  let bytes = 0;
  for (const order of turn.table.flows.unreported(target)) {
    const record = turn.table.flows.ending(order);
    if (record === undefined) continue;
    next.push({ ...record, id: itemId(turn.partition, order) });
    bytes += (record.result?.length ?? 0) + (record.error?.message.length ?? 0);
    if (next.length === endingsMax || bytes > endingsBytesMax) break;
  }
  return next;
}
