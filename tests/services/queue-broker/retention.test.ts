import { expect, test } from 'vitest';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideFail } from '#services/queue-broker/core/lease-decisions.ts';
import { decideReplay } from '#services/queue-broker/core/admin-decisions.ts';
import { decideConfigure } from '#services/queue-broker/core/settings-decisions.ts';
import { decideMoreSweeps, decideSweep, decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { MadeTable } from './made-table.ts';

const retention = { done: { ageMs: 10_000, count: 2 }, failed: { ageMs: 50_000 } };

/** Three items, all leased at 1. */
async function leased(): Promise<{ made: MadeTable; token: number }> {
  const made = new MadeTable(retention);
  for (let count = 0; count < 3; count += 1) made.enqueue(0);
  const items = made.turn(1, (turn) => decideDequeue(turn, { queue: 'mail', max: 3, leaseMs: 60_000 }));
  await made.commit();
  return { made, token: items[0]?.token ?? 0 };
}

const complete = (made: MadeTable, at: number, order: number, token: number) =>
  made.turn(at, (turn) => decideComplete(turn, 'mail', { id: itemId(0, order), token }));

const kept = (made: MadeTable) => [1, 2, 3].filter((order) => made.table.item(order) !== undefined);

test('beyond the count, the item that finished first goes first', async () => {
  const { made, token } = await leased();
  complete(made, 2, 2, token);
  complete(made, 2, 1, token);
  complete(made, 3, 3, token);
  expect(kept(made)).toEqual([1, 3]);
});

test('which item goes does not depend on a restart, even when two finished in one millisecond', async () => {
  const { made, token } = await leased();
  complete(made, 2, 2, token);
  complete(made, 2, 1, token);
  await made.commit();
  const restarted = made.reloaded();
  complete(made, 3, 3, token);
  complete(restarted, 3, 3, token);
  expect(kept(restarted)).toEqual(kept(made));
});

test('an item that failed, was replayed and failed again is kept from its last failure on', async () => {
  const { made, token } = await leased();
  const fail = (at: number, held: number) =>
    made.turn(at, (turn) =>
      decideFail(turn, 'mail', { id: itemId(0, 1), token: held, error: { message: 'no' }, retry: false }),
    );
  fail(2, token);
  made.turn(40_000, (turn) => decideReplay(turn, 'mail', itemId(0, 1)));
  const [again] = made.turn(40_000, (turn) =>
    decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 60_000 }),
  );
  fail(40_001, again?.token ?? 0);
  made.turn(60_000, (turn) => decideSweep(turn));
  expect(made.table.item(1)?.state).toBe('failed');
  made.turn(90_001, (turn) => decideSweep(turn));
  expect(made.table.item(1)).toBeUndefined();
});

test('an idle queue is swept when the retention of its first finished item is over', async () => {
  const { made, token } = await leased();
  complete(made, 2, 1, token);
  made.turn(10_001, (turn) => decideSweep(turn));
  expect(kept(made)).toEqual([1, 2, 3]);
  made.turn(10_002, (turn) => decideSweep(turn));
  expect(kept(made)).toEqual([2, 3]);
  expect(made.table.queue('mail')?.countOf('done')).toBe(0);
});

test('a retention that shrinks sweeps at once, two thousand items a record, until nothing is over', () => {
  const made = new MadeTable();
  for (let count = 0; count < 5_000; count += 1) made.enqueue(0);
  const items = made.turn(1, (turn) => decideDequeue(turn, { queue: 'mail', max: 5_000, leaseMs: 60_000 }));
  for (const { order, token } of items) complete(made, 2, order, token);
  const left = () => made.table.queue('mail')?.countOf('done');
  made.turn(3, (turn) => decideConfigure(turn, 'mail', { retention: { done: { count: 10 } } }));
  expect([left(), made.table.unswept.size]).toEqual([3_000, 1]);
  expect(made.turn(4, decideMoreSweeps)).toBe(true);
  expect(left()).toBe(1_000);
  expect(made.turn(5, decideMoreSweeps)).toBe(false);
  expect(left()).toBe(10);
  expect(kept(made)).toEqual([]);
});

test('a count and a sum of bytes hold together: what is beyond either goes, the oldest first', () => {
  const made = new MadeTable();
  made.turn(0, (turn) => decideConfigure(turn, 'mail', { retention: { done: { count: 3, bytes: 5 } } }));
  for (let order = 1; order <= 4; order += 1) {
    // Each payload has two bytes.
    made.enqueue(0);
    const [item] = made.turn(order, (turn) =>
      decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 60_000 }),
    );
    complete(made, order, order, item?.token ?? 0);
  }
  expect([1, 2, 3, 4].filter((order) => made.table.item(order) !== undefined)).toEqual([3, 4]);
});

test('a count of nought keeps nothing, and the one who finished the item still hears of it', () => {
  const made = new MadeTable();
  made.turn(0, (turn) => decideConfigure(turn, 'mail', { retention: { done: { count: 0 } } }));
  made.enqueue(0);
  const [item] = made.turn(1, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 60_000 }));
  expect(complete(made, 2, 1, item?.token ?? 0)).toMatchObject({ ok: true, value: { state: 'done' } });
  expect(made.table.item(1)).toBeUndefined();
});

test('who fails an item for good hears that it has failed, also where failed items are not kept', () => {
  const made = new MadeTable();
  made.turn(0, (turn) => decideConfigure(turn, 'mail', { retention: { failed: { count: 0 } } }));
  made.enqueue(0, { backoff: 'fixed:1ms' });
  const fail = (at: number, retry: boolean) => {
    made.turn(at, decideTime);
    const [item] = made.turn(at, (turn) => decideDequeue(turn, { queue: 'mail', max: 1 }));
    const request = { id: itemId(0, 1), token: item?.token ?? 0, retry, error: { message: 'no' } };
    return made.turn(at, (turn) => decideFail(turn, 'mail', request));
  };
  expect(fail(1, true)).toMatchObject({ ok: true, value: { state: 'retry', attempt: 1 } });
  expect(fail(10, false)).toEqual({ ok: true, value: { id: '0-1', state: 'failed', attempt: 2 } });
  expect(made.table.item(1)).toBeUndefined();
});
