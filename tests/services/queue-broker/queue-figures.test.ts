import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideCancel, decideReplay } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { decideUpdate } from '#services/queue-broker/core/edit-decisions.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideFail, decideRelease } from '#services/queue-broker/core/lease-decisions.ts';
import { QueueFigures } from '#services/queue-broker/core/queue-figures.ts';
import type { StateEvent } from '#services/queue-broker/core/state-event.ts';
import { decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { MadeTable } from './made-table.ts';

const slotMs = 5_000;
const begun = 1_000_000 * slotMs;
const done: StateEvent = {
  order: 1,
  queue: 'mail',
  state: 'done',
  band: 2,
  attempt: 1,
  isNew: false,
  waitedMs: undefined,
  ranMs: undefined,
  lateMs: undefined,
  worker: undefined,
};

test('the counts of the last minutes are those of what happened in them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 90_000 }), { maxLength: 200 }),
      fc.constantFrom(1 as const, 5 as const, 15 as const),
      (gaps, minutes) => {
        const figures = new QueueFigures();
        const times: number[] = [];
        let nowMs = begun;
        for (const gap of gaps) {
          nowMs += gap;
          times.push(nowMs);
          figures.add(done, nowMs);
        }
        // By slots: the current one and those before it.
        const first = Math.floor(nowMs / slotMs) - (minutes * 60_000) / slotMs;
        const expected = times.filter((at) => Math.floor(at / slotMs) > first).length / (minutes * 60);
        expect(figures.rates(nowMs, minutes).done).toBeCloseTo(expected, 9);
      },
    ),
  );
});

test('after a quarter of an hour of silence nothing is left of the rates', () => {
  const figures = new QueueFigures();
  figures.add(done, begun);
  expect(figures.rates(begun + 15 * 60_000, 15).done).toBe(0);
});

test('time that runs back a little breaks nothing', () => {
  const figures = new QueueFigures();
  figures.add(done, begun + slotMs);
  figures.add(done, begun);
  expect(figures.rates(begun + slotMs, 1).done).toBeCloseTo(2 / 60, 9);
});

test('percentiles are exact to a tenth', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 10_000_000 }), { minLength: 1, maxLength: 300 }),
      (waits) => {
        const figures = new QueueFigures();
        for (const waitedMs of waits) figures.add({ ...done, waitedMs }, begun);
        const sorted = waits.toSorted((a, b) => a - b);
        const exact = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
        const { p50, p95, p99 } = figures.waitMs;
        for (const [found, share] of [
          [p50, 0.5],
          [p95, 0.95],
          [p99, 0.99],
        ] as const) {
          expect(found).toBeGreaterThanOrEqual(Math.floor(exact(share) / 1.1));
          expect(found).toBeLessThanOrEqual(Math.ceil(exact(share) * 1.1));
        }
      },
    ),
  );
});

test('without anything measured the percentiles are 0', () => {
  expect(new QueueFigures().runMs).toEqual({ p50: 0, p95: 0, p99: 0 });
  expect(new QueueFigures().lateMs).toEqual({ p50: 0, p95: 0, p99: 0 });
});

test('an item is enqueued once, however often it becomes ready again', () => {
  const made = new MadeTable();
  const figures = new QueueFigures();
  const id = itemId(0, 1);
  const claim = (at: number) =>
    made.turn(at, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 60_000 }))[0]?.token ?? 0;
  made.enqueue(begun, { delay: '1s' });
  made.turn(begun + 1_000, decideTime);
  const released = claim(begun + 1_001);
  made.turn(begun + 1_002, (turn) => decideRelease(turn, 'mail', { id, token: released }));
  const failed = claim(begun + 1_003);
  made.turn(begun + 1_004, (turn) =>
    decideFail(turn, 'mail', { id, token: failed, error: { message: 'no' }, retry: false }),
  );
  made.turn(begun + 1_005, (turn) => decideReplay(turn, 'mail', id));
  made.turn(begun + 1_006, (turn) => decideCancel(turn, 'mail', id));
  for (const event of made.table.takeEvents()) figures.add(event, begun + 2_000);
  const { enqueued, started, failed: failures } = figures.rates(begun + 2_000, 1);
  expect([enqueued * 60, started * 60, failures * 60].map(Math.round)).toEqual([1, 2, 1]);
});

test('how late delayed items become ready is measured; one that is told to come sooner is not late', () => {
  const made = new MadeTable();
  const figures = new QueueFigures();
  for (const delay of ['1s', '1s', '1h']) made.enqueue(begun, { delay });
  made.turn(begun + 1_500, decideTime);
  made.turn(begun + 2_000, (turn) =>
    decideUpdate(turn, 'mail', { id: itemId(0, 3), options: { delayMs: 0 } }),
  );
  const events = made.table.takeEvents().filter(({ state }) => state === 'pending');
  expect(events.map(({ order, lateMs }) => [order, lateMs])).toEqual([
    [1, 500],
    [2, 500],
    [3, undefined],
  ]);
  for (const event of events) figures.add(event, begun);
  expect(figures.lateMs.p99).toBeGreaterThan(450);
  expect(figures.lateMs.p99).toBeLessThan(550);
});
