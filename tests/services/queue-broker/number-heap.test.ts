import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NumberHeap } from '#services/queue-broker/core/number-heap.ts';

// Minus nought is no other moment than nought.
const rank = fc.double({ noNaN: true, min: -1e15, max: 1e15 }).map((one) => one + 0);
const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ push: fc.tuple(rank, fc.integer()) }) },
  { weight: 2, arbitrary: fc.constant({ push: undefined }) },
);

test('the heap gives what a sorted list would give, whatever is put in and taken out', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
      const heap = new NumberHeap();
      let list: (readonly [number, number])[] = [];
      for (const { push } of commands) {
        if (push === undefined) {
          // Among equal ranks either may come first: what the heap names must be in the list.
          const at = list.findIndex(([one, value]) => one === heap.firstRank && value === heap.firstValue);
          expect(at >= 0).toBe(list.length > 0);
          list = list.filter((_, index) => index !== at);
          heap.shift();
        } else {
          heap.push(...push);
          list.push(push);
        }
        expect(heap.length).toBe(list.length);
        expect(heap.firstRank).toBe(list.length === 0 ? undefined : Math.min(...list.map(([one]) => one)));
      }
    }),
  );
});

test('a hundred thousand entries come out in order, and the room that they took is given back', () => {
  const heap = new NumberHeap();
  const count = 100_000;
  for (let index = 0; index < count; index += 1) heap.push((index * 7_919) % count, index);
  let last = -1;
  while (heap.length > 0) {
    const first = heap.firstRank ?? -1;
    if (first < last) throw new Error(`${first} comes after ${last}`);
    last = first;
    heap.shift();
  }
  expect(last).toBe(count - 1);
  heap.push(5, 6);
  expect([heap.firstRank, heap.firstValue]).toEqual([5, 6]);
});

test('taking from an empty heap is no fault', () => {
  const heap = new NumberHeap();
  heap.shift();
  expect([heap.length, heap.firstRank, heap.firstValue]).toEqual([0, undefined, undefined]);
});
