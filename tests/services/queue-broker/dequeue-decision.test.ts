import { expect, test } from 'vitest';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { decideEnqueue } from '#services/queue-broker/core/enqueue-decisions.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { MadeTable, enqueueRequest } from './made-table.ts';

const request = { queue: 'mail', max: 10, leaseMs: 1_000 };

test('what a dequeue claims and what it finds expired is written down in the order in which it happened', () => {
  const made = new MadeTable();
  made.enqueue(0);
  made.enqueue(0, { expires: '5ms' });
  made.enqueue(0);
  const facts = made.turn(5, (turn) => {
    decideDequeue(turn, request);
    return turn.facts;
  });
  expect(facts.map((fact) => [fact.kind, 'orders' in fact ? fact.orders : []])).toEqual([
    ['claimed', [1]],
    ['expired', [2]],
    ['claimed', [3]],
  ]);
});

test('the table that the facts of a dequeue add up to is the one that it left', () => {
  const live = new MadeTable();
  const replayed = new MadeTable();
  const step = (at: number, decide: Parameters<MadeTable['turn']>[1]) => {
    const facts = live.turn(at, (turn) => {
      decide(turn);
      return turn.facts;
    });
    replayed.turn(at, (turn) => facts.forEach((fact) => turn.emit(fact)));
  };
  for (const options of [{}, { expires: '5ms' }, {}, { expires: '5ms' }]) {
    const answer = live.enqueue(0, options);
    expect(answer.duplicate).toBe(false);
    replayed.enqueue(0, options);
  }
  step(5, (turn) => decideDequeue(turn, request));
  step(2_000, decideTime);
  for (const order of [1, 2, 3, 4]) expect(replayed.table.item(order)).toEqual(live.table.item(order));
  expect(replayed.table.applied).toEqual(live.table.applied);
});

test('a claim that is repeated gets the items that it still holds, and nothing else', () => {
  const made = new MadeTable();
  for (let count = 0; count < 4; count += 1) made.enqueue(0);
  const claim = (at: number, max: number) =>
    made
      .turn(at, (turn) => decideDequeue(turn, { ...request, max, claim: 'a' }))
      .map(({ order, token }) => [order, token]);
  const first = claim(1, 2);
  expect(claim(2, 4)).toEqual(first);
  made.turn(1_001, decideTime);
  expect(claim(1_002, 1).map(([order]) => order)).toEqual([3]);
});

test('an unknown queue has nothing to hand out', () => {
  const made = new MadeTable();
  expect(made.turn(0, (turn) => decideDequeue(turn, request))).toEqual([]);
});

test('a crowd of items that grew too old goes in parts that fit a record, and who waits is asked again', () => {
  const made = new MadeTable();
  made.turn(0, (turn) => {
    for (let count = 0; count < 6_000; count += 1) decideEnqueue(turn, enqueueRequest({ expires: '5ms' }));
  });
  const { id } = made.enqueue(1);
  const turnAt = (at: number) =>
    made.turn(at, (turn) => {
      decideTime(turn);
      made.table.capacity.take(turn.at);
      const items = [decideDequeue(turn, request), decideDequeue(turn, request)].flat();
      expect(turn.facts.length).toBeLessThanOrEqual(2_001);
      return items.map(({ order }) => itemId(0, order));
    });
  const handedOut: string[] = [];
  let turns = 0;
  // Whatever is left to be looked at is a reason to wake.
  for (; handedOut.length === 0 && (made.table.nextWakeAt ?? Infinity) <= 10 + turns; turns += 1)
    handedOut.push(...turnAt(10 + turns));
  expect(handedOut).toEqual([id]);
  expect(turns).toBeLessThanOrEqual(4);
});
