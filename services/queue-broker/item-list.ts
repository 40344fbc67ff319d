import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import { type List, type QueueStatus, states } from '#shared/protocol/queue-schemas.ts';
import type { Item } from './core/item.ts';
import type { PartitionTable } from './core/partition-table.ts';
import type { QueueIndex } from './core/queue-index.ts';
import { itemFilter } from './item-filter.ts';

export interface ItemPage {
  readonly items: readonly Item[];
  /** Where the next page begins; undefined after the last one. */
  readonly cursor?: string;
}

/** Rows that one page may look at: a rare match must not hold up a partition. A page may then be short, with a cursor. */
const examinedMax = 20_000;
/** And bytes of payloads that it may search through. */
const searchedBytesMax = 16 * 1_048_576;
const defaultLimit = 50;

/**
 * One page of a queue's items, oldest first. The cursor is a place in the order of enqueueing, which never changes:
 * an item that keeps its state is neither skipped nor repeated.
 */
export function listItems(table: PartitionTable, queue: string, request: List): Result<ItemPage> {
  const after = placeOf(table, queue, request.cursor);
  if (after === undefined) return badCursor();
  const made = itemFilter(table, queue, request);
  if (!made.ok) return made;
  const filter = made.value;
  const limit = request.limit ?? defaultLimit;
  const items: Item[] = [];
  let examined = 0;
  let last = after;
  for (const item of itemsAbove(table, queue, request.state, after)) {
    examined += 1;
    last = item.order;
    if (filter.matches(item)) items.push(item);
    if (items.length === limit || examined === examinedMax || filter.bytesRead > searchedBytesMax)
      return accept({ items, cursor: listCursor(last) });
  }
  return accept({ items });
}

/** The order that a cursor stands for; undefined for one that this queue has not returned, as far as is known. */
export function placeOf(
  table: PartitionTable,
  queue: string,
  cursor: string | undefined,
): number | undefined {
  if (cursor === undefined) return 0;
  const order = Number.parseInt(cursor, 36);
  if (!Number.isSafeInteger(order) || listCursor(order) !== cursor) return undefined;
  if (order < 1 || order >= table.nextOrder) return undefined;
  // The item may be gone by now; while it is there, it tells whose cursor this is.
  const item = table.item(order);
  return item === undefined || item.queue === queue ? order : undefined;
}

export const badCursor = () => refuseField('cursor', 'is not one that this queue returned');

/** Where the page after the item of this order begins. */
export const listCursor = (order: number): string => order.toString(36);

/** The items of a queue above `after`, of one state or of all, oldest first. */
function* itemsAbove(table: PartitionTable, queue: string, state: QueueStatus | undefined, after: number) {
  const index = table.queue(queue);
  if (index === undefined) return;
  for (const order of state === undefined ? ascending(index, after) : index.ordersOf(state, after)) {
    const item = table.item(order);
    if (item !== undefined) yield item;
  }
}

/** The orders of all states, merged. */
function* ascending(index: QueueIndex, after: number): Iterable<number> {
  const heads = states
    .map((state) => index.ordersOf(state, after)[Symbol.iterator]())
    .map((orders) => ({ orders, next: orders.next() }));
  for (;;) {
    let first: (typeof heads)[number] | undefined;
    for (const head of heads)
      if (head.next.done !== true && (first === undefined || head.next.value < first.next.value))
        first = head;
    if (first === undefined) return;
    yield first.next.value;
    first.next = first.orders.next();
  }
}
