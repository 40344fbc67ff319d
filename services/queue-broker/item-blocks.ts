import type { Environment, ReadTransaction, Table, Writes } from '#shared/runtime/lmdb.ts';
import { Block, Left, blockOf, blockOrders, encodeBlock, isFresh } from './block-codec.ts';
import type { Item } from './core/item.ts';
import type { Changes } from './core/overlay.ts';

/** Fewer items are better off with rows of their own. */
const blockItemsMin = 16;

/**
 * Items that have just been enqueued, many in one row (`block-codec.ts`): a backlog is written at a fifth of what a row
 * for each of them costs. A block is written once. As soon as one of its items changes, that item gets a row of its
 * own; when none is left the block is removed. Whose payload must not stay leaves nothing behind: the block is written
 * anew without it.
 */
export class ItemBlocks {
  readonly #blocks: Table<number>;
  readonly #lefts: Table<number>;
  readonly #left = new Map<number, Left>();
  /** The highest order that was ever stored: what comes behind it has no row yet. */
  #highest: number;
  #newest: number;
  /** The block that was read last: whoever empties a queue reads its neighbours next. */
  #read: { readonly number: number; readonly block: Block } | undefined;

  /** @param highestRow the highest order that has a row of its own, or −1 */
  constructor(environment: Environment, highestRow: number) {
    this.#blocks = environment.table('blocks');
    this.#lefts = environment.table('blocks-left');
    for (const { key, value } of this.#lefts.getRange()) this.#left.set(key, Left.read(value));
    this.#newest = Math.max(-1, ...this.#lefts.getKeys({ reverse: true, limit: 1 }));
    this.#highest = Math.max(highestRow, this.#newest * blockOrders + blockOrders - 1);
  }

  get isEmpty(): boolean {
    return this.#left.size === 0;
  }

  /** The item, when it stands in a block. */
  item(order: number): Item | undefined {
    const number = blockOf(order);
    return this.#left.get(number)?.has(order) === true ? this.#block(number).item(order) : undefined;
  }

  /** All that stand in blocks, by `order`. */
  *items(): Iterable<Item> {
    for (const number of [...this.#left.keys()].toSorted((a, b) => a - b)) {
      const left = this.#left.get(number);
      if (left !== undefined) yield* this.#block(number).items(left);
    }
  }

  /** As `items`, of the moment of a read transaction. */
  *itemsIn(transaction: ReadTransaction['transaction']): Iterable<Item> {
    for (const { key, value } of this.#lefts.getRange({ transaction })) {
      const bytes = this.#blocks.get(key, { transaction });
      if (bytes === undefined) throw new Error(`block ${key} of items is not there`);
      yield* new Block(key, bytes).items(Left.read(value));
    }
  }

  /**
   * Takes changes in. What stands in blocks from here on is theirs, once `writes` are committed; until then nothing
   * further may be taken in.
   * @returns the changes that concern rows of their own
   */
  store(
    { items, edited }: Pick<Changes, 'items' | 'edited'>,
    writes: Writes,
  ): readonly (readonly [number, Item | null])[] {
    // Only these can be read yet, and only in these has anything stood.
    const newest = this.#newest;
    const rows: (readonly [number, Item | null])[] = [];
    /** By block that an item has left: whether what it was must go, too, since it was removed or has another payload. */
    const touched = new Map<number, boolean>();
    let fresh: Item[] = [];
    let highest = this.#highest;
    const flush = (): void => {
      for (const item of this.#write(fresh, writes)) rows.push([item.order, item]);
      fresh = [];
    };
    for (const change of items) {
      const [order, item] = change;
      if (order > highest) highest = order;
      if (order > this.#highest && item !== null && this.#mayTake(fresh, item)) {
        if (fresh.length > 0 && blockOf(order) !== blockOf(fresh[0]?.order ?? 0)) flush();
        fresh.push(item);
        continue;
      }
      const number = blockOf(order);
      const left = order > this.#highest || number > newest ? undefined : this.#left.get(number);
      if (left !== undefined) {
        touched.set(number, touched.get(number) === true || item === null || edited.has(order));
        // It had no row that could be removed.
        const stoodHere = left.has(order);
        left.remove(order);
        if (stoodHere && item === null) continue;
      }
      rows.push(change);
    }
    flush();
    for (const [number, isToBeCleaned] of touched) this.#leave(number, isToBeCleaned, writes);
    this.#highest = highest;
    return rows;
  }

  clear(writes: Writes): void {
    writes.clear(this.#blocks);
    writes.clear(this.#lefts);
    this.#left.clear();
    this.#read = undefined;
    this.#highest = -1;
    this.#newest = -1;
  }

  /** Items come in the order of their orders; one that does not goes its own way. */
  #mayTake(fresh: readonly Item[], item: Item): boolean {
    const number = blockOf(item.order);
    const last = fresh.at(-1);
    return number > this.#newest && (last === undefined || item.order > last.order) && isFresh(item);
  }

  /** Writes a block. @returns the items that stand in none */
  #write(items: readonly Item[], writes: Writes): readonly Item[] {
    const [first] = items;
    if (first === undefined || items.length < blockItemsMin) return items;
    const number = blockOf(first.order);
    const { bytes, count } = encodeBlock(items);
    const left = Left.of(items.slice(0, count));
    writes.put(this.#blocks, number, bytes);
    writes.put(this.#lefts, number, left.bits);
    this.#left.set(number, left);
    this.#newest = number;
    return items.slice(count);
  }

  #leave(number: number, isToBeCleaned: boolean, writes: Writes): void {
    const left = this.#left.get(number);
    if (left === undefined) return;
    if (left.isEmpty) {
      writes.remove(this.#blocks, number);
      writes.remove(this.#lefts, number);
      this.#left.delete(number);
      return;
    }
    if (isToBeCleaned) {
      writes.put(this.#blocks, number, this.#block(number).only(left));
      this.#read = undefined;
    }
    writes.put(this.#lefts, number, left.bits);
  }

  #block(number: number): Block {
    if (this.#read?.number === number) return this.#read.block;
    const bytes = this.#blocks.get(number);
    if (bytes === undefined) throw new Error(`block ${number} of items is not there`);
    const block = new Block(number, bytes);
    this.#read = { number, block };
    return block;
  }
}

/** Two lists that are each in the order of their orders, as one. */
export function* byOrder<T extends { readonly order: number }>(
  one: Iterable<T>,
  other: Iterable<T>,
): Iterable<T> {
  const ahead = one[Symbol.iterator]();
  try {
    let next = ahead.next();
    for (const row of other) {
      for (; next.done !== true && next.value.order < row.order; next = ahead.next()) yield next.value;
      yield row;
    }
    for (; next.done !== true; next = ahead.next()) yield next.value;
  } finally {
    // Whoever reads no further must not leave a transaction open behind him: LMDB would use none of its pages again.
    ahead.return?.();
  }
}
