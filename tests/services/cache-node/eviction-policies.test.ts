import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { EvictionPolicy } from '#services/cache-node/core/eviction-policy.ts';
import { evictionPolicy } from '#services/cache-node/core/eviction-policy.ts';
import { FrequencySketch } from '#services/cache-node/core/frequency-sketch.ts';
import { GhostSet } from '#services/cache-node/core/ghost-set.ts';
import { WindowClimber } from '#services/cache-node/core/window-climber.ts';
import { zipfDraws } from '#tests/bench/cache/zipf.ts';
import { optimum, simulateCache } from '#tests/bench/hit-ratio/simulate-cache.ts';
import { traceOf } from '#tests/bench/hit-ratio/traces.ts';

const strategies = ['lru', 's3-fifo', 'w-tinylfu'] as const;
const hashOf = (slot: number): number => Math.imul(slot + 1, 0x9e37_79b1) >>> 0;

const step = fc.record({
  verb: fc.constantFrom('touch', 'touch', 'touch', 'remove', 'evict', 'reweigh'),
  slot: fc.nat(30),
  weight: fc.integer({ min: 1, max: 2_000 }),
});

test.each(strategies)('%s gives up what it holds, all of it, and nothing else', (strategy) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const policy = evictionPolicy(strategy);
      const held = new Set<number>();
      for (const { verb, slot, weight } of steps) {
        if (verb === 'touch' && held.has(slot)) policy.use(slot, hashOf(slot));
        if (verb === 'touch' && !held.has(slot)) policy.add(slot, hashOf(slot), weight);
        if (verb === 'touch') held.add(slot);
        if (verb === 'reweigh' && held.has(slot)) policy.reweigh(slot, weight);
        if (verb === 'remove' && held.delete(slot)) policy.remove(slot);
        if (verb === 'evict') evictOne(policy, held);
        expect([...policy.slots()].toSorted((a, b) => a - b)).toEqual([...held].toSorted((a, b) => a - b));
      }
      while (held.size > 0) evictOne(policy, held);
      expect(policy.victim()).toBeUndefined();
    }),
    { numRuns: 150 },
  );
});

function evictOne(policy: EvictionPolicy, held: Set<number>): void {
  const victim = policy.victim();
  expect(victim === undefined).toBe(held.size === 0);
  if (victim === undefined) return;
  expect(policy.victim()).toBe(victim);
  expect(held.delete(victim)).toBe(true);
  policy.evict(victim, hashOf(victim));
}

/** S3-FIFO as its paper says it, with lists and all entries of weight 1; no key comes back after it left. */
class PlainS3Fifo {
  #small: number[] = [];
  #main: number[] = [];
  readonly #uses = new Map<number, number>();

  add(key: number): void {
    this.#small.push(key);
    this.#uses.set(key, 0);
  }

  use(key: number): void {
    this.#uses.set(key, Math.min(3, (this.#uses.get(key) ?? 0) + 1));
  }

  evict(): number | undefined {
    for (;;) {
      const size = this.#small.length + this.#main.length;
      const fromSmall =
        this.#small.length > 0 && (this.#main.length === 0 || this.#small.length >= 0.1 * size);
      const key = fromSmall ? this.#small.shift() : this.#main.shift();
      if (key === undefined) return undefined;
      const uses = this.#uses.get(key) ?? 0;
      if (fromSmall ? uses <= 1 : uses === 0) return key;
      this.#main.push(key);
      this.#uses.set(key, fromSmall ? 0 : uses - 1);
    }
  }
}

test('s3-fifo gives up entries in the order of its paper', () => {
  const action = fc.record({ verb: fc.constantFrom('add', 'use', 'use', 'evict'), nth: fc.nat(1_000) });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300 }), (actions) => {
      const policy = evictionPolicy('s3-fifo');
      const model = new PlainS3Fifo();
      const held: number[] = [];
      let next = 0;
      for (const { verb, nth } of actions) {
        const key = held[nth % Math.max(1, held.length)];
        if (verb === 'add') {
          policy.add(next, hashOf(next), 1);
          model.add(next);
          held.push(next);
          next += 1;
        } else if (verb === 'use' && key !== undefined) {
          policy.use(key, hashOf(key));
          model.use(key);
        } else if (verb === 'evict') {
          const victim = policy.victim();
          expect(victim).toBe(model.evict());
          if (victim === undefined) continue;
          policy.evict(victim, hashOf(victim));
          held.splice(held.indexOf(victim), 1);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test('s3-fifo takes back at once to its main queue what it gave up lately', () => {
  const policy = evictionPolicy('s3-fifo');
  for (let slot = 0; slot < 20; slot += 1) policy.add(slot, hashOf(slot), 1);
  const victim = policy.victim() ?? -1;
  policy.evict(victim, hashOf(victim));
  policy.add(victim, hashOf(victim), 1);
  const order: number[] = [];
  for (let slot = policy.victim(); slot !== undefined; slot = policy.victim()) {
    order.push(slot);
    policy.evict(slot, hashOf(slot));
  }
  expect(order.indexOf(victim)).toBeGreaterThan(15);
});

test('one long scan does not push out what is asked for often, but for lru', () => {
  const hot = Array.from({ length: 80 }, (_, n) => `hot${n}`);
  const warm = Array.from({ length: 20 }, () => hot).flat();
  const scan = Array.from({ length: 5_000 }, (_, n) => `scan${n}`);
  const trace = [...warm, ...scan, ...hot];
  const late = (strategy: (typeof strategies)[number]) =>
    simulateCache(strategy, traceOf(trace), 100).hits -
    simulateCache(strategy, traceOf([...warm, ...scan]), 100).hits;
  expect(late('lru')).toBe(0);
  expect(late('s3-fifo')).toBeGreaterThan(70);
  expect(late('w-tinylfu')).toBeGreaterThan(60);
});

test('on a Zipf trace s3-fifo and w-tinylfu hit more often than lru', () => {
  const trace = zipfDraws({ keys: 20_000, count: 200_000, exponent: 0.9, seed: 7 });
  const rate = (strategy: (typeof strategies)[number]) => simulateCache(strategy, trace, 1_000).hits;
  expect(rate('s3-fifo')).toBeGreaterThan(1.05 * rate('lru'));
  expect(rate('w-tinylfu')).toBeGreaterThan(1.05 * rate('lru'));
});

/** The most hits that are possible, by trying every victim at every miss. */
function mostHits(
  trace: readonly number[],
  entriesMax: number,
  held: readonly number[] = [],
  at = 0,
): number {
  const key = trace[at];
  if (key === undefined) return 0;
  if (held.includes(key)) return 1 + mostHits(trace, entriesMax, held, at + 1);
  if (held.length < entriesMax) return mostHits(trace, entriesMax, [...held, key], at + 1);
  const outcomes = held.map((victim) =>
    mostHits(trace, entriesMax, [...held.filter((one) => one !== victim), key], at + 1),
  );
  return Math.max(...outcomes);
}

test('the optimum is the best that any choice of victims could do, and no policy does better', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(5), { minLength: 1, maxLength: 14 }),
      fc.integer({ min: 1, max: 3 }),
      (keys, entriesMax) => {
        const trace = traceOf(keys.map(String));
        const best = optimum(trace, entriesMax).hits;
        expect(best).toBe(mostHits(keys, entriesMax));
        for (const strategy of strategies)
          expect(simulateCache(strategy, trace, entriesMax).hits).toBeLessThanOrEqual(best);
      },
    ),
  );
});

test('the sketch never counts too few until it halves, and seldom too many', () => {
  const sketch = new FrequencySketch();
  sketch.ensure(1_024);
  for (let n = 0; n < 400; n += 1) for (let times = 0; times <= n % 5; times += 1) sketch.add(hashOf(n));
  let over = 0;
  for (let n = 0; n < 400; n += 1) {
    expect(sketch.count(hashOf(n))).toBeGreaterThanOrEqual((n % 5) + 1);
    if (sketch.count(hashOf(n)) > (n % 5) + 1) over += 1;
  }
  expect(over).toBeLessThan(40);
  sketch.ensure(4_096);
  for (let n = 0; n < 400; n += 1) expect(sketch.count(hashOf(n))).toBeGreaterThanOrEqual((n % 5) + 1);
});

test('what was counted long ago fades', () => {
  const sketch = new FrequencySketch();
  for (let times = 0; times < 15; times += 1) sketch.add(hashOf(1));
  expect(sketch.count(hashOf(1))).toBe(15);
  for (let n = 2; n < 10_000; n += 1) sketch.add(hashOf(n));
  expect(sketch.count(hashOf(1))).toBeLessThan(15);
});

test('ghosts are remembered for as many departures as asked for, and once', () => {
  const ghosts = new GhostSet();
  for (let n = 0; n < 100; n += 1) ghosts.add(hashOf(n), 1_000);
  expect(ghosts.take(hashOf(99), 50)).toBe(true);
  expect(ghosts.take(hashOf(99), 50)).toBe(false);
  expect(ghosts.take(hashOf(10), 50)).toBe(false);
  const taken = Array.from({ length: 45 }, (_, n) => ghosts.take(hashOf(54 + n), 50)).filter(Boolean);
  expect(taken.length).toBeGreaterThan(40);
});

test('the window grows while that helps, and stays within its bounds', () => {
  const climber = new WindowClimber();
  let hits = 0;
  const sample = (rate: number) => {
    for (let n = 0; n < 10_000; n += 1) {
      hits += rate;
      if (hits >= 1) climber.hit(1_000);
      else climber.missed(1_000);
      if (hits >= 1) hits -= 1;
    }
  };
  for (let round = 0; round < 20; round += 1) sample(0.2 + climber.windowPart);
  expect(climber.windowPart).toBeGreaterThan(0.3);
  for (let round = 0; round < 60; round += 1) sample(0.9 - climber.windowPart);
  expect(climber.windowPart).toBeLessThan(0.3);
  expect(climber.windowPart).toBeGreaterThanOrEqual(0.01);
});

test('s3-fifo finds a victim in few steps, also where all that it holds was used', () => {
  const policy = evictionPolicy('s3-fifo');
  const count = 20_000;
  for (let slot = 0; slot < count; slot += 1) policy.add(slot, hashOf(slot), 1);
  for (let round = 0; round < 3; round += 1)
    for (let slot = 0; slot < count; slot += 1) policy.use(slot, hashOf(slot));
  const before = [...policy.slots()];
  const victim = policy.victim();
  expect(policy.victim()).toBe(victim);
  // What was passed on the way stands behind all the others now; most were not passed.
  const place = new Map([...policy.slots()].map((slot, index) => [slot, index]));
  const passed = before.filter(
    (slot, index) => (place.get(slot) ?? 0) >= count - 1_000 && index < count - 1_000,
  );
  expect(passed.length).toBeLessThan(1_000);
  expect([...policy.slots()][0]).toBe(victim);
});
