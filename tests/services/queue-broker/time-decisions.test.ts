import { expect, test } from 'vitest';
import { decideReplay, decideReprioritize } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideExtend, decideRelease } from '#services/queue-broker/core/lease-decisions.ts';
import { decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { MadeTable, value } from './made-table.ts';

const id = itemId(0, 1);

test('a scheduled item whose priority was changed becomes due once', () => {
  const made = new MadeTable();
  made.enqueue(0, { delay: '1s' });
  made.turn(10, (turn) => decideReprioritize(turn, 'mail', id, 0));
  const facts = made.turn(1_000, (turn) => {
    decideTime(turn);
    return turn.facts;
  });
  expect(facts).toEqual([{ kind: 'due', orders: [1] }]);
});

test('an item that was handed back expires once', () => {
  const made = new MadeTable();
  made.enqueue(0, { expires: '1s' });
  const [claimed] = made.turn(1, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 5_000 }));
  made.turn(2, (turn) => decideRelease(turn, 'mail', { id, token: claimed?.token ?? 0 }));
  const facts = made.turn(1_000, (turn) => {
    decideTime(turn);
    return turn.facts;
  });
  expect(facts).toEqual([{ kind: 'expired', orders: [1] }]);
});

test('a lease that was extended twice within one millisecond ends once', () => {
  const made = new MadeTable();
  made.enqueue(0);
  const [claimed] = made.turn(1, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 500 }));
  const request = { id, token: claimed?.token ?? 0, leaseMs: 900 };
  made.turn(2, (turn) => decideExtend(turn, 'mail', request));
  made.turn(2, (turn) => decideExtend(turn, 'mail', request));
  const early = made.turn(501, (turn) => {
    decideTime(turn);
    return turn.facts;
  });
  const late = made.turn(902, (turn) => {
    decideTime(turn);
    return turn.facts;
  });
  expect(early).toEqual([]);
  expect(late).toEqual([{ kind: 'lease-expired', order: 1, mayRetry: true, why: 'lease_expired' }]);
});

test('an item that grew too old and is replayed is handed out, however old it is', () => {
  const made = new MadeTable();
  made.enqueue(0, { expires: '1s' });
  made.turn(1_000, (turn) => decideTime(turn));
  expect(value(made.turn(2_000, (turn) => decideReplay(turn, 'mail', id)))).toMatchObject({
    state: 'pending',
  });
  made.turn(3_000, (turn) => decideTime(turn));
  expect(
    made.turn(4_000, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 500 })),
  ).toHaveLength(1);
});

test('an item that is handed back for a while is scheduled, uncharged, and not handed out before', () => {
  const made = new MadeTable();
  made.enqueue(0, { maxAttempts: 1 });
  const token = claim(made, 1);
  const answer = value(made.turn(2, (turn) => decideRelease(turn, 'mail', { id, token, delayMs: 500 })));
  expect(answer).toMatchObject({ id, state: 'scheduled', attempt: 0 });
  expect(made.table.item(1)).toMatchObject({ state: 'scheduled', runAt: 502, attempt: 0 });
  made.turn(501, (turn) => decideTime(turn));
  expect(claim(made, 501)).toBe(0);
  made.turn(502, (turn) => decideTime(turn));
  expect(claim(made, 502)).toBeGreaterThan(token);
  expect(made.table.item(1)).toMatchObject({ state: 'processing', attempt: 1 });
});

test('handing back for a while is answered the same when it is repeated, whatever became of the item', () => {
  const made = new MadeTable();
  made.enqueue(0);
  const token = claim(made, 1);
  const release = (at: number) =>
    value(made.turn(at, (turn) => decideRelease(turn, 'mail', { id, token, delayMs: 500 })));
  const first = release(2);
  expect(release(3)).toEqual(first);
  made.turn(502, (turn) => decideTime(turn));
  claim(made, 502);
  expect(release(503)).toEqual(first);
  expect(made.table.item(1)?.state).toBe('processing');
});

test('an item that waits after it was handed back still grows too old', () => {
  const made = new MadeTable();
  made.enqueue(0, { expires: '1s' });
  const token = claim(made, 1);
  made.turn(2, (turn) => decideRelease(turn, 'mail', { id, token, delayMs: 5_000 }));
  made.turn(1_000, (turn) => decideTime(turn));
  expect(made.table.item(1)?.state).toBe('failed');
});

/** The token of what a dequeue got, 0 when it got nothing. */
function claim(made: MadeTable, at: number): number {
  const [item] = made.turn(at, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 5_000 }));
  return item?.token ?? 0;
}
