import fc from 'fast-check';
import { expect, test } from 'vitest';
import { S3FifoMap } from '#shared/client/s3-fifo-map.ts';

const aKey = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j');
const aStep = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), key: aKey, value: fc.nat() }),
  fc.record({ kind: fc.constantFrom('get' as const, 'peek' as const, 'delete' as const), key: aKey }),
  fc.record({ kind: fc.constant('clear' as const) }),
);

test('it has what was set last, or nothing, and never more than it may', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(aStep, { maxLength: 200 }), (entriesMax, steps) => {
      const map = new S3FifoMap<number>(entriesMax);
      const all = new Map<string, number>();
      for (const step of steps) {
        if (step.kind === 'set') {
          map.set(step.key, step.value);
          all.set(step.key, step.value);
          expect(map.peek(step.key)).toBe(step.value);
        } else if (step.kind === 'clear') {
          map.clear();
          all.clear();
        } else if (step.kind === 'delete') {
          const wasThere = map.peek(step.key) !== undefined;
          expect(map.delete(step.key)).toBe(wasThere);
          expect(map.peek(step.key)).toBeUndefined();
          all.delete(step.key);
        } else expect([undefined, all.get(step.key)]).toContain(map[step.kind](step.key));
        const entries = [...map.entries()];
        expect(entries).toHaveLength(map.size);
        expect(map.size).toBeLessThanOrEqual(entriesMax);
        for (const [key, value] of entries) expect(value).toBe(all.get(key));
      }
    }),
  );
});

test('nothing goes before there is need', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { maxLength: 50 }), (keys) => {
      const map = new S3FifoMap<number>(50);
      for (const [index, key] of keys.entries()) map.set(key, index);
      expect([...map.entries()]).toEqual(keys.map((key, index) => [key, index]));
    }),
  );
});

test('what was asked for often outlives any number of keys that are asked for once', () => {
  const map = new S3FifoMap<number>(100);
  for (let key = 0; key < 50; key += 1) map.set(`hot-${key}`, key);
  for (let use = 0; use < 3; use += 1) for (let key = 0; key < 50; key += 1) map.get(`hot-${key}`);
  for (let key = 0; key < 10_000; key += 1) {
    map.set(`once-${key}`, key);
    if (key % 10 === 0) for (let hot = 0; hot < 50; hot += 1) map.get(`hot-${hot}`);
  }
  for (let key = 0; key < 50; key += 1) expect(map.peek(`hot-${key}`)).toBe(key);
});

test('what comes back soon after it went, or was deleted from among what is asked for often, stays', () => {
  const map = new S3FifoMap<number>(10);
  map.set('back', 1);
  for (let key = 0; key < 10; key += 1) map.set(`first-${key}`, key);
  expect(map.peek('back')).toBeUndefined();
  map.set('back', 2);
  for (let key = 0; key < 9; key += 1) map.set(`second-${key}`, key);
  expect(map.peek('back')).toBe(2);
  expect(map.delete('back')).toBe(true);
  map.set('back', 3);
  for (let key = 0; key < 9; key += 1) map.set(`third-${key}`, key);
  expect(map.peek('back')).toBe(3);
});
