import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Namespace } from '#services/cache-node/core/namespace.ts';
import { entryBytes, madeNamespace, setOf, valueOf } from './made-namespace.ts';

const entriesMax = 6;
const bytesMax = 2_000;

interface Modelled {
  readonly key: string;
  readonly size: number;
  readonly value: string;
  readonly expiresAtMs: number;
  readonly slidingMs: number;
}

/** The cache as simply as it can be said: a list, the entry used longest ago first. */
class Model {
  #list: readonly Modelled[] = [];

  live(nowMs: number): readonly Modelled[] {
    this.#list = this.#list.filter((one) => nowMs < one.expiresAtMs);
    return this.#list;
  }

  get(key: string, nowMs: number): string | undefined {
    const found = this.live(nowMs).find((one) => one.key === key);
    if (found === undefined) return undefined;
    const expiresAtMs = found.slidingMs > 0 ? nowMs + found.slidingMs : found.expiresAtMs;
    this.#replace({ ...found, expiresAtMs });
    return found.value;
  }

  set(entry: Modelled, nowMs: number): void {
    this.live(nowMs);
    this.#replace(entry);
    while (this.#list.length > entriesMax || this.#list.reduce((sum, one) => sum + one.size, 0) > bytesMax)
      this.#list = this.#list.slice(1);
  }

  touch(key: string, ttlMs: number, nowMs: number): boolean {
    const found = this.live(nowMs).find((one) => one.key === key);
    if (found === undefined) return false;
    this.#replace({ ...found, expiresAtMs: nowMs + ttlMs, slidingMs: found.slidingMs > 0 ? ttlMs : 0 });
    return true;
  }

  delete(key: string, nowMs: number): boolean {
    const found = this.live(nowMs).some((one) => one.key === key);
    this.#list = this.#list.filter((one) => one.key !== key);
    return found;
  }

  #replace(entry: Modelled): void {
    this.#list = [...this.#list.filter((one) => one.key !== entry.key), entry];
  }
}

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i');
const ttlMs = fc.integer({ min: 1, max: 20 });
const step = fc.oneof(
  fc.record({
    verb: fc.constant('set' as const),
    key,
    length: fc.integer({ min: 0, max: 1_500 }),
    ttlMs: fc.oneof(ttlMs, fc.constant(0)),
    sliding: fc.boolean(),
  }),
  fc.record({ verb: fc.constant('get' as const), key }),
  fc.record({ verb: fc.constant('delete' as const), key }),
  fc.record({ verb: fc.constant('touch' as const), key, ttlMs }),
  fc.record({ verb: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 15 }) }),
  fc.record({ verb: fc.constant('expire' as const), max: fc.integer({ min: 1, max: 3 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

function take(namespace: Namespace, model: Model, step: Step, nowMs: number): void {
  switch (step.verb) {
    case 'set': {
      const value = 'x'.repeat(step.length);
      namespace.set(setOf(step.key, value, { ttlMs: step.ttlMs, sliding: step.sliding }), nowMs);
      const expiresAtMs = step.ttlMs === 0 ? Infinity : nowMs + step.ttlMs;
      const size = entryBytes(1, step.length + 2);
      const slidingMs = step.sliding ? step.ttlMs : 0;
      model.set({ key: step.key, value, size, expiresAtMs, slidingMs }, nowMs);
      break;
    }
    case 'get':
      expect(valueOf(namespace.get(step.key, nowMs))).toBe(model.get(step.key, nowMs));
      break;
    case 'delete':
      expect(namespace.delete(step.key, nowMs)).toBe(model.delete(step.key, nowMs));
      break;
    case 'touch':
      expect(namespace.touch(step.key, step.ttlMs, nowMs)).toBe(model.touch(step.key, step.ttlMs, nowMs));
      break;
    case 'wait':
      break;
    case 'expire':
      expect(namespace.expire(step.max, nowMs)).toBeLessThanOrEqual(step.max);
      break;
  }
}

test('a namespace does what a list would do, and passes no quota', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const namespace = madeNamespace();
      namespace.configure({ entriesMax, bytesMax }, 0);
      const model = new Model();
      let nowMs = 1_000;
      for (const one of steps) {
        if (one.verb === 'wait') nowMs += one.ms;
        take(namespace, model, one, nowMs);
        const figures = namespace.stats(0);
        expect(figures.bytes).toBeLessThanOrEqual(bytesMax);
        expect(figures.entries).toBeLessThanOrEqual(entriesMax);
        const page = namespace.keys({ prefix: '', limit: 100, cursor: undefined }, nowMs);
        const live = model.live(nowMs);
        expect(page.ok && page.value.keys.toSorted()).toEqual(live.map((entry) => entry.key).toSorted());
      }
      namespace.expire(1_000, nowMs);
      expect(namespace.bytes).toBe(model.live(nowMs).reduce((sum, entry) => sum + entry.size, 0));
    }),
    { numRuns: 300 },
  );
});

test('pages of keys neither skip nor repeat a key that stays, whatever happens to the others meanwhile', () => {
  const change = fc.record({ verb: fc.constantFrom('set', 'delete'), n: fc.integer({ min: 0, max: 30 }) });
  fc.assert(
    fc.property(
      fc.uniqueArray(
        fc.record({
          kind: fc.constantFrom('p:stays', 'p:stays', 'p:goes', 'q'),
          n: fc.integer({ min: 0, max: 30 }),
        }),
        { maxLength: 80, selector: ({ kind, n }) => `${kind}-${n}` },
      ),
      fc.array(fc.array(change, { maxLength: 6 }), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 7 }),
      (held, changes, limit) => {
        const namespace = madeNamespace();
        for (const { kind, n } of held) namespace.set(setOf(`${kind}-${n}`, n), 0);
        const staying = held.filter(({ kind }) => kind === 'p:stays').map(({ n }) => `p:stays-${n}`);
        const seen: string[] = [];
        let cursor: string | undefined;
        let turn = 0;
        do {
          const page = namespace.keys({ prefix: 'p:', limit, cursor }, 0);
          if (!page.ok) throw new Error(page.error.message);
          expect(page.value.keys.length).toBeLessThanOrEqual(limit);
          seen.push(...page.value.keys);
          cursor = page.value.cursor;
          for (const { verb, n } of changes[turn % changes.length] ?? []) {
            if (verb === 'set') namespace.set(setOf(`p:goes-${n}`, n), 0);
            else namespace.delete(`p:goes-${n}`, 0);
          }
          turn += 1;
        } while (cursor !== undefined && turn < 10_000);
        expect(cursor).toBeUndefined();
        expect(seen.filter((one) => one.startsWith('p:stays-')).toSorted()).toEqual(staying.toSorted());
        expect(seen.filter((one) => !one.startsWith('p:'))).toEqual([]);
      },
    ),
  );
});
