import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ExpiryHeap } from '#services/cache-node/core/expiry-heap.ts';
import { LruPolicy } from '#services/cache-node/core/lru-policy.ts';

const slot = fc.integer({ min: 0, max: 40 });

test('the order of use is exact, whatever was added, used and removed', () => {
  const step = fc.record({ verb: fc.constantFrom('use', 'use', 'remove'), slot });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const order = new LruPolicy();
      let model: number[] = [];
      for (const { verb, slot } of steps) {
        const isIn = model.includes(slot);
        model = model.filter((one) => one !== slot);
        if (verb === 'remove' && isIn) order.remove(slot);
        if (verb === 'use') {
          if (isIn) order.use(slot);
          else order.add(slot);
          model.push(slot);
        }
        expect(order.victim()).toBe(model[0]);
      }
      // Emptied from its old end, it gives back the whole order.
      for (const expected of model) {
        const oldest = order.victim();
        expect(oldest).toBe(expected);
        if (oldest !== undefined) order.remove(oldest);
      }
      expect(order.victim()).toBeUndefined();
    }),
  );
});

test('the heap names the earliest slot, whatever was set, moved and removed', () => {
  const dueMs = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant(Infinity));
  const step = fc.oneof(
    fc.record({ verb: fc.constant('set' as const), slot, dueMs }),
    fc.record({ verb: fc.constant('remove' as const), slot, dueMs }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = new ExpiryHeap();
      const model = new Map<number, number>();
      const check = () => {
        const earliest = heap.earliest();
        expect(earliest === undefined).toBe(model.size === 0);
        if (earliest !== undefined) expect(model.get(earliest)).toBe(Math.min(...model.values()));
        return earliest;
      };
      for (const { verb, slot, dueMs } of steps) {
        if (verb === 'set') heap.set(slot, dueMs);
        else heap.remove(slot);
        if (verb === 'set' && dueMs !== Infinity) model.set(slot, dueMs);
        else model.delete(slot);
        check();
      }
      while (model.size > 0) {
        const earliest = check() ?? -1;
        heap.remove(earliest);
        model.delete(earliest);
      }
      expect(check()).toBeUndefined();
    }),
  );
});
