import { expect, test } from 'vitest';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideFail } from '#services/queue-broker/core/lease-decisions.ts';
import { decideReplay } from '#services/queue-broker/core/admin-decisions.ts';
import { decideSweep } from '#services/queue-broker/core/time-decisions.ts';
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
