import { describe, expect, test } from 'vitest';
import {
  type FlowAnswer,
  decideCancelFamily,
  decideFlow,
  decideMessage,
} from '#services/queue-broker/core/flow-decisions.ts';
import type { EndState, FlowMember } from '#services/queue-broker/core/flow-facts.ts';
import type { ChildEnding, FlowMessages } from '#services/queue-broker/core/flow-messages.ts';
import { nextEndings, noteClosed, notePlaced } from '#services/queue-broker/core/flow-outgoing.ts';
import { parseItemId } from '#services/queue-broker/core/item.ts';
import { decideReplay, decideReplayFailed } from '#services/queue-broker/core/admin-decisions.ts';
import { decideComplete } from '#services/queue-broker/core/lease-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { readFlow } from '#services/queue-broker/flow-requests.ts';
import { json } from '#shared/protocol/encoding.ts';
import type { OnChildFailure } from '#shared/protocol/queue-more-schemas.ts';
import { MadeTable, value } from './made-table.ts';

/** A flow whose members are made, released and ended by hand; all in one partition. */
const rules = { owners: 'none', encoding: json, payloadBytesMax: 1_000 } as const;

class MadeFlow {
  readonly made: MadeTable;
  readonly flow: FlowAnswer;
  readonly members: readonly FlowMember[];

  constructor(onChildFailure: OnChildFailure, count = 2, made = new MadeTable()) {
    const children = Array.from({ length: count }, (_, n) => ({ queue: 'parts', payload: n, delay: '1m' }));
    const request = value(readFlow('sums', { payload: 1, key: 'k', onChildFailure, children }, rules));
    this.made = made;
    this.flow = value(made.turn(1_000, (turn) => decideFlow(turn, request)));
    this.members = request.members;
  }

  get order(): number {
    return parseItemId(this.flow.id).order;
  }

  get state(): string | undefined {
    return this.made.table.item(this.order)?.state;
  }

  ask<K extends keyof FlowMessages>(
    at: number,
    kind: K,
    ask: FlowMessages[K]['ask'],
  ): FlowMessages[K]['answer'] {
    return this.made.turn(at, (turn) => decideMessage(turn, kind, ask));
  }

  /** Makes every member, as many times as it is asked to. */
  place(at: number): readonly string[] {
    const open = this.made.table.flows.flow(this.order);
    const members = (open?.phase === 'placing' ? open.members : this.members).map((member, index) => ({
      number: index + 1,
      member,
      parent: { queue: 'sums', id: this.flow.id, index },
      childQueues: [],
    }));
    return this.ask(at, 'place', { root: this.flow.id, members }).ids;
  }

  release(at: number, ids: readonly string[]): void {
    this.made.turn(at, (turn) => notePlaced(turn, this.order, ids));
    const children = ids.map((id) => ({ queue: 'parts', id }));
    const members = [{ number: 0, children }, ...ids.map((_, index) => ({ number: index + 1 }))];
    this.ask(at, 'release', { root: this.flow.id, members });
    this.made.turn(at, (turn) => noteClosed(turn, this.order));
  }

  end(at: number, index: number, state: EndState, ending = at): void {
    const parent = { queue: 'sums', id: this.flow.id, index };
    const end: ChildEnding = { parent, queue: 'parts', id: `0-${index + 2}`, ending, state };
    this.ask(at, 'end', { endings: [end] });
  }
}

const made = (onChildFailure: OnChildFailure): MadeFlow => {
  const flow = new MadeFlow(onChildFailure);
  flow.release(3_000, flow.place(2_000));
  return flow;
};

test('a member that is asked for again is the same item, before its flow is released and after', () => {
  const flow = new MadeFlow('fail');
  const ids = flow.place(2_000);
  expect(flow.place(2_500)).toEqual(ids);
  flow.release(3_000, ids);
  expect(flow.place(4_000)).toEqual(ids);
  expect(flow.made.table.applied.nextOrder).toBe(4);
});

test('what is blocked is not handed out, and a delay counts from the beginning of the flow', () => {
  const flow = new MadeFlow('fail');
  const ids = flow.place(50_000);
  const dequeue = (at: number) =>
    flow.made.turn(at, (turn) => decideDequeue(turn, { queue: 'parts', max: 9 }));
  expect(dequeue(50_000)).toEqual([]);
  flow.release(60_000, ids);
  const children = ids.map((id) => flow.made.table.item(parseItemId(id).order));
  expect(children.map((child) => [child?.state, child?.runAt])).toEqual([
    ['scheduled', 61_000],
    ['scheduled', 61_000],
  ]);
  const late = new MadeFlow('fail');
  late.release(70_000, late.place(65_000));
  expect(late.made.table.queue('parts')?.countOf('pending')).toBe(2);
});

test('a release that is repeated lets nobody go twice', () => {
  const flow = made('fail');
  const before = flow.made.table.applied;
  flow.ask(5_000, 'release', { root: flow.flow.id, members: [{ number: 1 }, { number: 2 }] });
  expect(flow.made.table.applied.nextReadyOrder).toBe(before.nextReadyOrder);
});

test.each<[OnChildFailure, EndState, EndState, string]>([
  ['fail', 'done', 'done', 'pending'],
  ['fail', 'done', 'failed', 'failed'],
  ['fail', 'cancelled', 'done', 'failed'],
  ['fail', 'done', 'purged', 'failed'],
  ['continue', 'failed', 'done', 'pending'],
  ['continue', 'failed', 'purged', 'pending'],
  ['continue', 'cancelled', 'failed', 'pending'],
  ['wait', 'done', 'done', 'pending'],
  ['wait', 'done', 'failed', 'blocked'],
  ['wait', 'purged', 'done', 'blocked'],
])('with %s, children that are %s and %s leave the parent %s', (policy, first, second, then) => {
  const flow = made(policy);
  flow.end(4_000, 0, first);
  flow.end(5_000, 1, second);
  expect(flow.state).toBe(then);
});

test('an end that is told twice counts once, and an older one never follows a newer one', () => {
  const flow = made('continue');
  flow.end(4_000, 0, 'failed', 7);
  flow.end(4_100, 0, 'failed', 7);
  flow.end(4_200, 0, 'done', 9);
  flow.end(4_300, 0, 'failed', 8);
  expect(flow.made.table.flows.child(flow.order, 0)?.state).toBe('done');
  expect(flow.state).toBe('blocked');
  flow.end(4_400, 1, 'done', 5);
  expect(flow.state).toBe('pending');
});

test('a parent whose children all ended before the flow was complete waits until it is', () => {
  const flow = new MadeFlow('continue');
  const ids = flow.place(2_000);
  flow.end(2_100, 0, 'cancelled');
  flow.end(2_200, 1, 'cancelled');
  expect(flow.state).toBe('blocked');
  flow.release(3_000, ids);
  expect(flow.state).toBe('pending');
});

test('nothing of a flow that is not complete is replayed, its parent and its leaves neither', () => {
  const flow = new MadeFlow('fail');
  const ids = flow.place(2_000);
  const [leaf = ''] = ids;
  flow.made.turn(2_100, (turn) => turn.emit({ kind: 'expired', orders: [parseItemId(leaf).order] }));
  flow.end(2_200, 0, 'failed');
  const replay = (at: number, queue: string, id: string) =>
    flow.made.turn(at, (turn) => decideReplay(turn, queue, id));
  expect(flow.state).toBe('failed');
  for (const [queue, id] of [
    ['sums', flow.flow.id],
    ['parts', leaf],
  ] as const)
    expect(replay(2_300, queue, id)).toMatchObject({ ok: false, error: { code: 'wrong_state' } });
  flow.release(3_000, ids);
  expect(replay(4_000, 'parts', leaf)).toMatchObject({ ok: true });
  expect(replay(4_100, 'sums', flow.flow.id)).toMatchObject({ ok: true });
});

test('a parent that ended hears of its children and stays what it is', () => {
  const flow = made('continue');
  flow.made.turn(4_000, (turn) => turn.emit({ kind: 'cancelled', order: flow.order }));
  flow.end(5_000, 0, 'done');
  flow.end(6_000, 1, 'done');
  expect(flow.state).toBe('cancelled');
  expect(flow.made.table.flows.child(flow.order, 1)?.state).toBe('done');
});

test('a parent that is gone takes what its children left with it, and later ends are nobody’s', async () => {
  const nothing = { done: { count: 0 }, failed: { count: 0 } };
  const flow = new MadeFlow('continue', 2, new MadeTable(nothing));
  flow.release(3_000, flow.place(2_000));
  flow.end(4_000, 0, 'done');
  flow.made.turn(5_000, (turn) => turn.emit({ kind: 'cancelled', order: flow.order }));
  flow.end(6_000, 1, 'done');
  await flow.made.commit();
  // What is counted of a queue stays with the queue.
  expect([...flow.made.store.records()].map(([key]) => key)).toEqual(['figures/sums']);
});

test('an end that came anew while it was being reported is reported, too', () => {
  const flow = made('wait');
  const { order } = parseItemId('0-2');
  const report = (at: number, known: readonly ChildEnding[] = []) =>
    flow.made.turn(at, (turn) => nextEndings(turn, 0, known));
  flow.made.turn(4_000, (turn) => turn.emit({ kind: 'expired', orders: [order] }));
  const first = report(4_100);
  expect(first).toMatchObject([{ id: '0-2', state: 'failed', error: { type: 'expired' } }]);
  flow.made.turn(4_200, (turn) => turn.emit({ kind: 'replayed', orders: [order] }));
  flow.made.turn(4_300, (turn) => decideDequeue(turn, { queue: 'parts', max: 1 }));
  const token = flow.made.table.item(order)?.token ?? 0;
  const result = new Uint8Array([1]);
  value(flow.made.turn(4_400, (turn) => decideComplete(turn, 'parts', { id: '0-2', token, result })));
  const second = report(4_500, first);
  expect(second).toMatchObject([{ id: '0-2', state: 'done', result }]);
  expect(report(4_600, second)).toEqual([]);
});

test('what a flow still has to do is known again after a restart', async () => {
  const flow = new MadeFlow('fail');
  const ids = flow.place(2_000);
  flow.made.turn(2_500, (turn) => decideCancelFamily(turn, 'sums', flow.flow.id));
  flow.made.turn(2_600, (turn) => turn.emit({ kind: 'cancelled', order: parseItemId(ids[0] ?? '').order }));
  await flow.made.commit();
  const outgoing = flow.made.reloaded().table.takeOutgoing();
  expect(outgoing).toEqual({
    flows: new Set([flow.order]),
    cascades: new Set([flow.order]),
    targets: new Set([0]),
  });
});

test('a queue that is full takes no flow, and what a flow brings elsewhere is let in', () => {
  const table = new MadeTable();
  for (const queue of ['sums', 'parts'])
    table.turn(1, (turn) => turn.emit({ kind: 'configured', queue, settings: { itemsMax: 1 } }));
  const flow = new MadeFlow('fail', 2, table);
  expect(flow.place(2_000)).toHaveLength(2);
  const again = value(readFlow('sums', { payload: 1, children: [{ queue: 'parts', payload: 1 }] }, rules));
  expect(table.turn(3_000, (turn) => decideFlow(turn, again))).toMatchObject({
    error: { code: 'queue_full' },
  });
});

describe('the owner of a flow', () => {
  const tree = (headers?: Record<string, string>) => ({
    payload: 1,
    headers: { 'x-tenant': '7' },
    children: [{ queue: 'parts', payload: 1, children: [{ queue: 'parts', payload: 2, headers }] }],
  });

  test('is the owner of its root and of everything below it, beside the headers that each has', () => {
    const owned = { ...rules, owners: { all: 'ada' } } as const;
    const { root, members } = value(readFlow('sums', tree({ 'x-leaf': '1' }), owned));
    expect([root, ...members].map(({ options }) => options.headers)).toEqual([
      { 'x-tenant': '7', 'Trivet-Owner': 'ada' },
      { 'Trivet-Owner': 'ada' },
      { 'x-leaf': '1', 'Trivet-Owner': 'ada' },
    ]);
  });

  test.each(['none', { all: 'ada' }] as const)('cannot be named by an item of it (owners: %j)', (owners) => {
    const read = readFlow('sums', tree({ 'Trivet-Owner': 'bob' }), { ...rules, owners });
    expect(read).toMatchObject({
      ok: false,
      error: { details: { field: 'children[0].children[0].headers.Trivet-Owner' } },
    });
  });
});

test('items of flows that are not complete do not stand in the way of those that can be replayed', () => {
  const made = new MadeTable();
  for (let count = 0; count < 2; count += 1) {
    const children = [{ queue: 'parts', payload: 1 }];
    const request = value(readFlow('sums', { payload: 1, expires: '5ms', children }, rules));
    made.turn(0, (turn) => decideFlow(turn, request));
  }
  const { id } = made.enqueue(0, { expires: '5ms' }, 'sums');
  made.turn(10, decideTime);
  expect(made.table.queue('sums')?.countOf('failed')).toBe(3);
  expect(made.turn(11, (turn) => decideReplayFailed(turn, 'sums', { after: 0, limit: 2 }))).toHaveLength(1);
  expect(made.table.item(parseItemId(id).order)?.state).toBe('pending');
});
