import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideCancel, decideReprioritize } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideRelease } from '#services/queue-broker/core/lease-decisions.ts';
import type { StoredSettings } from '#services/queue-broker/core/queue-settings.ts';
import { decideConfigure } from '#services/queue-broker/core/settings-decisions.ts';
import { priorities } from '#shared/protocol/queue-schemas.ts';
import { MadeTable } from './made-table.ts';
import { PlainLimits } from './plain-limits.ts';

const queue = 'mail';
const groups = [undefined, 'a', 'b', 'c/d'] as const;

type Change =
  | { readonly kind: 'complete' | 'release' | 'cancel'; readonly pick: number }
  | { readonly kind: 'move'; readonly pick: number; readonly band: number };

type Step =
  | Change
  | { readonly kind: 'enqueue'; readonly group: number; readonly band: number }
  | { readonly kind: 'dequeue'; readonly max: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'limit'; readonly concurrency: StoredSettings['concurrency'] }
  | { readonly kind: 'restart' };

const few = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined });
const rate = fc.option(
  fc.record({ count: fc.integer({ min: 1, max: 3 }), perMs: fc.constantFrom(1, 10, 100) }),
  { nil: undefined },
);
const band = fc.integer({ min: 0, max: 3 });
const pick = fc.nat();
const given = <T extends object>(fields: T): T =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
const both = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.record({ total: arbitrary, perGroup: arbitrary }).map(given) as fc.Arbitrary<object>;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('enqueue' as const), group: fc.nat({ max: 3 }), band }),
  },
  {
    weight: 7,
    arbitrary: fc.record({ kind: fc.constant('dequeue' as const), max: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constantFrom('complete', 'release', 'cancel' as const), pick }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), pick, band }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 5, 10, 99, 100) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('limit' as const), concurrency: both(few) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
) as fc.Arbitrary<Step>;

/** A queue in a table and the same in plain words, side by side. */
class SideBySide {
  readonly plain = new PlainLimits();
  #made = new MadeTable();
  #settings: StoredSettings;
  #nowMs = 1_000;

  constructor(settings: StoredSettings) {
    // So long that no head rises: what goes first is then a matter of the band alone.
    this.#settings = { ...settings, agingAfterMs: 1e12 };
    this.#configure();
  }

  async take(one: Step): Promise<void> {
    switch (one.kind) {
      case 'enqueue':
        return this.#enqueue(groups[one.group], one.band);
      case 'dequeue':
        return this.#dequeue(one.max);
      case 'pass':
        this.#nowMs += one.ms;
        return undefined;
      case 'limit':
        this.#settings = { ...this.#settings, concurrency: one.concurrency ?? {} };
        return this.#configure();
      case 'restart':
        await this.#made.commit();
        this.#made = this.#made.reloaded();
        return undefined;
      default:
        return this.#change(one);
    }
  }

  /** Asks for everything again and again as time goes by: what nothing stands in the way of must come. */
  drain(): void {
    for (let round = 0; this.plain.of('pending').length > 0; round += 1) {
      this.#dequeue(1_000);
      while (this.plain.of('processing').length > 0) this.#change({ kind: 'complete', pick: 0 });
      this.#nowMs += 100;
      if (round > 1_000) throw new Error('the queue does not come to its end');
    }
  }

  #configure(): void {
    this.#made.turn(this.#nowMs, (turn) => decideConfigure(turn, queue, this.#settings));
    this.plain.concurrency = this.#settings.concurrency ?? {};
    this.plain.rateLimit = this.#settings.rateLimit ?? {};
  }

  #enqueue(group: string | undefined, inBand: number): void {
    const options = { priority: priorities[inBand] ?? 'normal', ...(group === undefined ? {} : { group }) };
    const { id } = this.#made.enqueue(this.#nowMs, options, queue);
    this.plain.add(Number.parseInt(id.split('-')[1] ?? '', 36), group, inBand);
  }

  #dequeue(max: number): void {
    const items = this.#made.turn(this.#nowMs, (turn) => decideDequeue(turn, { queue, max, leaseMs: 1e9 }));
    for (const { order } of items) this.plain.claim(order, this.#nowMs);
    const [left] = this.plain.free(this.#nowMs);
    if (items.length < max && left !== undefined)
      throw new Error(`item ${left.order} was not handed out, and nothing stands in its way`);
    if (items.length === 0) this.#expectWaking();
  }

  /** Whoever is turned away by time alone must be woken when the first item is free, and not later. */
  #expectWaking(): void {
    const wakeAt = this.#made.table.queue(queue)?.nextRoomAt;
    // A moment that has passed would wake who waits again and again, and nothing else would be done.
    if (wakeAt !== undefined) expect(wakeAt).toBeGreaterThan(this.#nowMs);
    for (let ms = 1; ms <= 100; ms += 1) {
      if (this.plain.free(this.#nowMs + ms).length === 0) continue;
      expect(wakeAt).toBeLessThanOrEqual(this.#nowMs + ms);
      return;
    }
  }

  #change(one: Change): void {
    const from = this.plain.of(one.kind === 'complete' || one.kind === 'release' ? 'processing' : 'pending');
    const item = from[one.pick % Math.max(1, from.length)];
    if (item === undefined) return;
    const id = itemId(0, item.order);
    const token = this.#made.table.item(item.order)?.token ?? 0;
    this.#made.turn(this.#nowMs, (turn) => {
      if (one.kind === 'complete') return decideComplete(turn, queue, { id, token });
      if (one.kind === 'release') return decideRelease(turn, queue, { id, token });
      if (one.kind === 'move') return decideReprioritize(turn, queue, id, one.band);
      return decideCancel(turn, queue, id);
    });
    if (one.kind === 'move') {
      if (item.band !== one.band) item.place = this.plain.nextPlace();
      item.band = one.band;
    } else item.state = one.kind === 'release' ? 'pending' : 'ended';
  }
}

const limits = fc.record({ concurrency: both(few), rateLimit: both(rate) }) as fc.Arbitrary<StoredSettings>;

test('no limit is ever passed, nothing waits that could go, and each line keeps its order, across restarts', async () => {
  await fc.assert(
    fc.asyncProperty(limits, fc.array(step, { maxLength: 120 }), async (settings, steps) => {
      const sides = new SideBySide(settings);
      for (const one of steps) await sides.take(one);
      sides.drain();
    }),
    { numRuns: 300 },
  );
});

test('who is turned away for want of leases is woken by no window that has moved on already', () => {
  const made = new MadeTable();
  const settings = { concurrency: { total: 1 }, rateLimit: { total: { count: 1, perMs: 50 } } };
  made.turn(1_000, (turn) => decideConfigure(turn, queue, settings));
  for (let n = 0; n < 2; n += 1) made.enqueue(1_000, {}, queue);
  const dequeue = { queue, max: 1, leaseMs: 1e9 };
  expect(made.turn(1_000, (turn) => decideDequeue(turn, dequeue))).toHaveLength(1);
  expect(made.turn(2_000, (turn) => decideDequeue(turn, dequeue))).toEqual([]);
  expect(made.table.queue(queue)?.nextRoomAt ?? Infinity).toBeGreaterThan(2_000);
});

test('whoever replays a log lets in each group whose window has moved on meanwhile', () => {
  const made = new MadeTable();
  const settings = { rateLimit: { perGroup: { count: 1, perMs: 50 } } };
  made.turn(1_000, (turn) => decideConfigure(turn, queue, settings));
  const orders = ['a', 'b', 'c', 'a', 'b', 'c'].map((group) => {
    const { id } = made.enqueue(1_000, { group }, queue);
    return Number.parseInt(id.split('-')[1] ?? '', 36);
  });
  // Claims of other groups clear a window away, and nobody asks for anything meanwhile.
  for (const [index, order] of orders.slice(0, 3).entries())
    made.turn(2_000 + 1_000 * index, (turn) => turn.emit({ kind: 'claimed', orders: [order], leaseMs: 1e9 }));
  const items = made.turn(9_000, (turn) => decideDequeue(turn, { queue, max: 10, leaseMs: 1e9 }));
  expect(new Set(items.map(({ group }) => group))).toEqual(new Set(['a', 'b', 'c']));
});
