import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RecordArena } from '#services/cache-node/core/record-arena.ts';

/** An arena, where the records of its owners are, and how many it moved. */
function made() {
  const places = new Map<number, number>();
  const counts = { moved: 0 };
  const arena = new RecordArena((owner, address) => {
    places.set(owner, address);
    counts.moved += 1;
  });
  return { arena, places, counts };
}

test('when many records have just gone, no single call moves all that are left', () => {
  const { arena, places, counts } = made();
  const records = 200_000;
  for (let owner = 0; owner < records; owner += 1) places.set(owner, arena.allocate(owner, 256));
  const full = arena.bytes;
  for (let owner = 0; owner < records; owner += 2) arena.free(places.get(owner) ?? 0);
  counts.moved = 0;
  arena.tidy();
  expect(counts.moved).toBeGreaterThan(0);
  expect(counts.moved).toBeLessThan(records / 10);
  // Step by step it is given back all the same.
  for (let step = 0; step < 100; step += 1) arena.tidy();
  expect(arena.bytes).toBeLessThan(0.7 * full);
});

test('records of changing sizes that come while much is dead find room, and memory falls meanwhile', () => {
  const { arena, places } = made();
  const records = 100_000;
  for (let owner = 0; owner < records; owner += 1) places.set(owner, arena.allocate(owner, 400));
  const full = arena.bytes;
  for (let owner = 0; owner < records; owner += 1)
    if (owner % 3 > 0) {
      arena.free(places.get(owner) ?? 0);
      places.delete(owner);
    }
  for (let owner = records; owner < records + 20_000; owner += 1)
    places.set(owner, arena.allocate(owner, 200 + (owner % 7) * 40));
  expect(arena.bytes).toBeLessThan(0.8 * full);
});

const step = fc.record({
  owner: fc.nat(40),
  size: fc.oneof(fc.integer({ min: 16, max: 4_000 }), fc.integer({ min: 16, max: 90_000 })),
  verb: fc.constantFrom('put', 'put', 'put', 'free', 'tidy'),
});

test('every record is where it was said to be, with its owner and room for its size', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { arena, places } = made();
      const sizes = new Map<number, number>();
      for (const { owner, size, verb } of steps) {
        if (verb === 'tidy') arena.tidy();
        else if (places.has(owner)) {
          arena.free(places.get(owner) ?? 0);
          places.delete(owner);
          sizes.delete(owner);
        }
        if (verb !== 'put') continue;
        places.set(owner, arena.allocate(owner, size));
        sizes.set(owner, size);
      }
      for (const [owner, address] of places) {
        expect(arena.capacity(address)).toBe(8 * Math.ceil((sizes.get(owner) ?? 0) / 8));
        expect(arena.segmentOf(address).words[(address % 32_768) * 2]).toBe(owner);
      }
    }),
    { numRuns: 200 },
  );
});
