import { expect, test } from 'vitest';
import { LeaseTable } from '#shared/client/lease-table.ts';

test('what one thread holds, another one reads, with the longest id and the largest token', () => {
  const table = new LeaseTable(3);
  const other = new LeaseTable(table.memory);
  const id = 'zzzz-zzzzzzzzzzzz';
  const slot = table.hold(id, Number.MAX_SAFE_INTEGER) ?? -1;
  expect(other.slots).toBe(3);
  expect(other.read(slot)).toMatchObject({ slot, id, token: Number.MAX_SAFE_INTEGER });
});

test('a dropped lease is read no longer, and its slot has another generation the next time', () => {
  const table = new LeaseTable(1);
  const first = table.hold('0-1', 7) ?? -1;
  const generation = table.generation(first);
  table.drop(first);
  expect(table.read(first)).toBeUndefined();
  expect(table.holds(first, generation)).toBe(false);
  const second = table.hold('0-2', 8) ?? -1;
  expect(second).toBe(first);
  expect(table.generation(second)).not.toBe(generation);
  expect(table.holds(second, generation)).toBe(false);
  expect(table.read(second)).toMatchObject({ id: '0-2', token: 8 });
});

test('a full table holds nothing more, nor an id that has no room in a slot', () => {
  const table = new LeaseTable(2);
  expect(table.hold('0-1', 1)).toBeDefined();
  expect(table.hold('x'.repeat(32), 1)).toBeUndefined();
  expect(table.hold('0-2', 1)).toBeDefined();
  expect(table.hold('0-3', 1)).toBeUndefined();
});

test('the slots of a large table do not touch each other', () => {
  const table = new LeaseTable(1_000);
  const slots = Array.from({ length: 1_000 }, (_, index) => table.hold(`a-${index}`, index + 1) ?? -1);
  for (let index = 0; index < 1_000; index += 2) table.drop(slots[index] ?? -1);
  const read = slots.map((slot) => table.read(slot));
  expect(read.filter((lease) => lease === undefined)).toHaveLength(500);
  expect(read[501]).toMatchObject({ id: 'a-501', token: 502 });
});
