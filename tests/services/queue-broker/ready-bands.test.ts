import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Item } from '#services/queue-broker/core/item.ts';
import { ReadyBands } from '#services/queue-broker/core/ready-bands.ts';
import { madeItem } from './made-items.ts';

const agingMs = 300_000;

/** Ready bands and the items that they speak of, as a table would hold them. */
class Line {
  readonly #bands = new ReadyBands();
  readonly #items = new Map<number, Item>();
  #places = 0;

  add(order: number, band: number, readyAt = 0): void {
    this.#places += 1;
    const item = madeItem({ order, band, readyAt, readyOrder: this.#places });
    this.#items.set(order, item);
    this.#bands.add(item);
  }

  claim(nowMs = 0): number | undefined {
    const item = this.#bands.next((order) => this.#items.get(order), nowMs, agingMs);
    if (item !== undefined) this.#change({ ...item, state: 'processing' });
    return item?.order;
  }

  release(order: number): void {
    const item = this.#known(order);
    this.#change({ ...item, state: 'pending' });
    this.#bands.putBack(this.#known(order));
  }

  leave(order: number): void {
    this.#change({ ...this.#known(order), state: 'cancelled' });
  }

  move(order: number, band: number): void {
    this.#places += 1;
    this.#change({ ...this.#known(order), band, readyOrder: this.#places });
    this.#bands.add(this.#known(order));
  }

  oldest(): number | undefined {
    return this.#bands.oldestReadyAt((order) => this.#items.get(order));
  }

  #change(item: Item): void {
    this.#bands.changed(this.#known(item.order));
    this.#items.set(item.order, item);
  }

  #known(order: number): Item {
    const item = this.#items.get(order);
    if (item === undefined) throw new Error(`no item ${order}`);
    return item;
  }
}

const drained = (line: Line, nowMs = 0): readonly number[] => {
  const orders: number[] = [];
  for (let order = line.claim(nowMs); order !== undefined; order = line.claim(nowMs)) orders.push(order);
  return orders;
};

test('within a band the first that became ready is the first to go, also with equal times', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 100 }), (bands) => {
      const line = new Line();
      bands.forEach((band, index) => line.add(index + 1, band));
      const expected = [0, 1, 2, 3].flatMap((band) =>
        bands.flatMap((one, index) => (one === band ? [index + 1] : [])),
      );
      expect(drained(line)).toEqual(expected);
    }),
  );
});

test('an item that is handed back goes to its old place', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.array(fc.nat(), { maxLength: 10 }), (count, picks) => {
      const line = new Line();
      for (let order = 1; order <= count; order += 1) line.add(order, 2);
      const held = Array.from({ length: Math.ceil(count / 2) }, () => line.claim() ?? 0);
      const back = new Set(picks.map((pick) => held[pick % held.length] ?? 1));
      for (const order of back) line.release(order);
      const expected = Array.from({ length: count }, (_, index) => index + 1).filter(
        (order) => back.has(order) || !held.includes(order),
      );
      expect(drained(line)).toEqual(expected);
    }),
  );
});

test('an item that is handed back twice is handed out once', () => {
  const line = new Line();
  line.add(1, 2);
  line.add(2, 2);
  for (let times = 0; times < 2; times += 1) {
    expect(line.claim()).toBe(1);
    line.release(1);
  }
  expect(drained(line)).toEqual([1, 2]);
});

test('items that leave by another way are passed over', () => {
  const line = new Line();
  for (const order of [1, 2, 3, 4]) line.add(order, 1);
  line.leave(1);
  line.leave(3);
  expect(drained(line)).toEqual([2, 4]);
});

test('an item that moves to another band waits there at the end', () => {
  const line = new Line();
  line.add(1, 3);
  line.add(2, 3);
  line.add(3, 0);
  line.move(1, 0);
  expect(drained(line)).toEqual([3, 1, 2]);
});

test('a head rises one band for every five minutes that it has waited', () => {
  const line = new Line();
  line.add(1, 3, 0);
  line.add(2, 2, agingMs - 1);
  expect(line.claim(agingMs - 1)).toBe(2);
  line.add(3, 2, agingMs);
  expect(line.claim(agingMs)).toBe(1);
  expect(line.claim(agingMs)).toBe(3);
});

test('nothing starves: an item of the lowest band goes first after fifteen minutes, whatever keeps coming in', () => {
  const line = new Line();
  line.add(1, 3, 0);
  let order = 1;
  let claimed: number | undefined;
  let nowMs = 0;
  for (; claimed !== 1 && nowMs < 10 * agingMs; nowMs += 1_000) {
    order += 1;
    line.add(order, 0, nowMs);
    claimed = line.claim(nowMs);
  }
  expect(nowMs).toBeLessThanOrEqual(3 * agingMs + 2_000);
});

test('the oldest ready item is found over all bands', () => {
  const line = new Line();
  expect(line.oldest()).toBeUndefined();
  line.add(1, 3, 50);
  line.add(2, 0, 70);
  expect(line.oldest()).toBe(50);
  line.leave(1);
  expect(line.oldest()).toBe(70);
});
