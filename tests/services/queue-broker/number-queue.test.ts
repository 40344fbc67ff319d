import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NumberQueue } from '#services/queue-broker/core/number-queue.ts';

type Row = readonly [number, number];
const row = fc.tuple(fc.integer(), fc.integer({ min: 0, max: 5 }));
const command = fc.oneof(
  { weight: 5, arbitrary: row.map((pushed): Row | 'shift' | 'sort' => pushed) },
  { weight: 4, arbitrary: fc.constant<Row | 'shift' | 'sort'>('shift') },
  { weight: 1, arbitrary: fc.constant<Row | 'shift' | 'sort'>('sort') },
);

test('the queue gives what an array would give: around its ring, growing, sorted in between', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 400 }), (commands) => {
      const queue = new NumberQueue(2);
      let list: Row[] = [];
      for (const one of commands) {
        if (one === 'shift') {
          queue.shift();
          list.shift();
        } else if (one === 'sort') {
          queue.sortBy(1);
          list = list.toSorted((a, b) => a[1] - b[1]);
        } else {
          queue.push(...one);
          list.push(one);
        }
        expect([queue.length, queue.first(0), queue.first(1)]).toEqual([
          list.length,
          list[0]?.[0],
          list[0]?.[1],
        ]);
      }
      const rest: Row[] = [];
      for (; queue.length > 0; queue.shift()) rest.push([queue.first(0) ?? 0, queue.first(1) ?? 0]);
      expect(rest).toEqual(list);
    }),
  );
});

test('a queue that was long and is short again keeps its order while it gives memory back', () => {
  const queue = new NumberQueue(1);
  for (let value = 0; value < 50_000; value += 1) queue.push(value);
  for (let value = 0; value < 49_990; value += 1) {
    if (queue.first(0) !== value) throw new Error(`${queue.first(0)} stands where ${value} should`);
    queue.shift();
  }
  expect(queue.length).toBe(10);
  expect(queue.first(0)).toBe(49_990);
});
