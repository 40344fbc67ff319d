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

  /** Items that were looked at to find the next one. */
  looks = 0;

  constructor(weighted = false) {
    this.#bands.weigh(weighted);
  }

  add(order: number, band: number, readyAt = 0, group?: string, parked = false): void {
    this.#places += 1;
    const item = madeItem({ order, band, readyAt, readyOrder: this.#places, group });
    this.#items.set(order, item);
    this.#bands.add(item, parked);
  }

  claim(nowMs = 0): number | undefined {
    const item = this.#bands.next((order) => this.#look(order), nowMs, agingMs);
    if (item === undefined) return undefined;
    this.#items.set(item.order, { ...item, state: 'processing' });
    this.#bands.claimed(item);
    return item.order;
  }

  release(order: number): void {
    const item: Item = { ...this.#known(order), state: 'pending' };
    this.#items.set(order, item);
    this.#bands.putBack(item);
  }

  leave(order: number): void {
    const item = this.#known(order);
    this.#items.set(order, { ...item, state: 'cancelled' });
    this.#bands.left(item);
  }

  move(order: number, band: number): void {
    this.#places += 1;
    const item = this.#known(order);
    const moved = { ...item, band, readyOrder: this.#places };
    this.#items.set(order, moved);
    this.#bands.left(item);
    this.#bands.add(moved);
  }

  park(group: string): void {
    this.#bands.park(group);
  }

  unpark(group: string): void {
    this.#bands.unpark(group);
  }

  groups(): readonly string[] {
    return [...this.#bands.groups()];
  }

  oldest(): number | undefined {
    return this.#bands.oldestReadyAt((order) => this.#items.get(order));
  }

  #look(order: number): Item | undefined {
    this.looks += 1;
    return this.#items.get(order);
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

// Groups.

const claims = (line: Line, count: number): readonly number[] =>
  Array.from({ length: count }, () => line.claim() ?? 0);

/** Adds `count` items of a group, numbered from `first`. */
function fill(line: Line, first: number, count: number, group?: string, parked = false): void {
  for (let order = first; order < first + count; order += 1) line.add(order, 2, 0, group, parked);
}

test('groups take turns, item by item, whatever their number of items; items without a group are one of them', () => {
  const line = new Line();
  fill(line, 1, 900, 'a');
  fill(line, 1_001, 3, 'b');
  fill(line, 2_001, 3);
  expect(claims(line, 12)).toEqual([2_001, 1, 1_001, 2_002, 2, 1_002, 2_003, 3, 1_003, 4, 5, 6]);
});

test('a group that comes in joins at the end, and one without items is forgotten', () => {
  const line = new Line();
  fill(line, 1, 3, 'a');
  fill(line, 11, 1, 'b');
  expect(line.claim()).toBe(1);
  fill(line, 21, 2, 'c');
  expect(claims(line, 5)).toEqual([11, 2, 21, 3, 22]);
  expect(line.groups()).toEqual([]);
});

test('an item that is handed back goes first in its group, and its group does not go out of turn', () => {
  const line = new Line();
  fill(line, 1, 3, 'a');
  fill(line, 11, 3, 'b');
  expect(claims(line, 2)).toEqual([1, 11]);
  line.release(1);
  expect(drained(line)).toEqual([1, 12, 2, 13, 3]);
});

test('a parked group waits, also with what is added to it, and goes on where it was when it is let in', () => {
  const line = new Line();
  fill(line, 1, 2, 'a');
  fill(line, 11, 2, 'b');
  line.park('a');
  fill(line, 3, 1, 'a', true);
  line.leave(2);
  expect(drained(line)).toEqual([11, 12]);
  expect(line.oldest()).toBe(0);
  line.unpark('a');
  expect(drained(line)).toEqual([1, 3]);
});

test('a group of which everything has left while it was parked is forgotten', () => {
  const line = new Line();
  fill(line, 1, 2, 'a');
  line.park('a');
  line.leave(1);
  line.leave(2);
  expect(line.groups()).toEqual([]);
  line.unpark('a');
  fill(line, 3, 1, 'a');
  expect(drained(line)).toEqual([3]);
});

test('a hundred thousand parked items before fifty thousand free ones are not looked at', () => {
  const alone = new Line();
  fill(alone, 1, 50_000, 'free');
  const behind = new Line();
  for (let group = 0; group < 100; group += 1)
    fill(behind, 100_000 + group * 1_000, 1_000, `blocked-${group}`, true);
  fill(behind, 1, 50_000, 'free');
  expect(drained(behind)).toEqual(drained(alone));
  expect(behind.looks).toBeLessThanOrEqual(alone.looks * 1.01);
  expect(behind.groups()).toHaveLength(100);
});

test('the oldest of many groups is found in one walk, whatever has left their lanes', () => {
  const line = new Line();
  for (let round = 0; round < 2; round += 1)
    for (let group = 0; group < 20_000; group += 1)
      line.add(1 + round * 20_000 + group, 2, round, `group-${group}`);
  claims(line, 20_000);
  // A walk for each group would take more than the time that a test has.
  expect(line.oldest()).toBe(1);
});

test('ageing holds for groups: an old item of a low band goes before fresh urgent ones, whatever its group', () => {
  const line = new Line();
  line.add(1, 3, 0, 'a');
  line.add(2, 3, 0, 'b');
  line.add(3, 0, 3 * agingMs, 'a');
  expect([1, 2, 3].map(() => line.claim(3 * agingMs))).toEqual([1, 2, 3]);
});

// By weight.

test('by weight, of any fifteen claims eight are critical, four high, two normal and one low', () => {
  const line = new Line(true);
  for (let n = 0; n < 400; n += 1) line.add(n + 1, n % 4);
  const bands = claims(line, 150).map((order) => (order - 1) % 4);
  for (let from = 0; from + 15 <= bands.length; from += 15) {
    const shares = [0, 1, 2, 3].map((band) => bands.slice(from, from + 15).filter((b) => b === band).length);
    expect(shares).toEqual([8, 4, 2, 1]);
  }
});

test('by weight no band starves, whichever others come and go', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 40, maxLength: 200 }), (others) => {
      const line = new Line(true);
      line.add(1, 3);
      let waited = 0;
      for (const [n, band] of others.entries()) {
        line.add(n + 2, band);
        if (line.claim() === 1) return;
        waited += 1;
      }
      expect(waited).toBeLessThan(40);
    }),
  );
});

test('by weight, bands without items leave their share to the others', () => {
  const line = new Line(true);
  for (let n = 0; n < 200; n += 1) line.add(n + 1, n % 2 === 0 ? 1 : 3);
  const low = claims(line, 100).filter((order) => order % 2 === 0);
  expect(low).toHaveLength(20);
});
