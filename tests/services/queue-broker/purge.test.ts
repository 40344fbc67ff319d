import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decideCancel, decideCancelState, decidePause } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideExtend, decideFail } from '#services/queue-broker/core/lease-decisions.ts';
import {
  decidePurge,
  decidePurgeAll,
  decidePurgeState,
} from '#services/queue-broker/core/purge-decisions.ts';
import { decideSchedules } from '#services/queue-broker/core/schedule-decisions.ts';
import { QueueIndex } from '#services/queue-broker/core/queue-index.ts';
import { decideConfigure } from '#services/queue-broker/core/settings-decisions.ts';
import { decideSweep, decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { type QueueStatus, states } from '#shared/protocol/queue-schemas.ts';
import { madeSchedule, madeSlots } from '#tests/support/made-slots.ts';
import { MadeTable, value } from './made-table.ts';

const mail = 'mail';
const dequeue = (made: MadeTable, at: number, max = 1) =>
  made.turn(at, (turn) => decideDequeue(turn, { queue: mail, max, leaseMs: 1_000 }));

/** Two items of each state, each with a key; orders from 1 on. */
function filled(): MadeTable {
  const made = new MadeTable();
  let keys = 0;
  const key = () => `k${(keys += 1)}`;
  const lease = (how: (id: string, token: number) => void) => {
    for (let count = 0; count < 2; count += 1) made.enqueue(0, { key: key(), priority: 'critical' });
    for (const { order, token } of dequeue(made, 0, 2)) how(itemId(0, order), token);
  };
  const fail = (retry: boolean) => (id: string, token: number) =>
    made.turn(1, (turn) => decideFail(turn, mail, { id, token, retry, error: { message: 'no' } }));
  lease((id, token) => made.turn(1, (turn) => decideComplete(turn, mail, { id, token })));
  lease(fail(true));
  lease(fail(false));
  lease((id) => made.turn(1, (turn) => decideCancel(turn, mail, id)));
  lease(() => undefined);
  for (let count = 0; count < 2; count += 1) made.enqueue(1, { key: key(), delay: '1m' });
  for (let count = 0; count < 2; count += 1) made.enqueue(1, { key: key() });
  return made;
}

/** A queue that nothing is known of is the same as an empty one. */
const counts = (made: MadeTable) =>
  (made.table.queue(mail) ?? new QueueIndex(mail, made.table.defaults)).counts;

/** What is stored, besides the position and the note that there was such a queue. */
const stored = ({ store }: MadeTable) => [
  ...store.items(),
  ...Array.from({ length: 20 }, (_, order) => store.payload(order)).filter((one) => one !== undefined),
  ...[...store.records()].filter(([key]) => !key.startsWith('forgotten/')),
];

test('one item is removed in every state but processing, and its key is free', async () => {
  const made = filled();
  await made.commit();
  for (let order = 1; order <= 14; order += 1) {
    const item = made.table.item(order);
    const purged = made.turn(2, (turn) => decidePurge(turn, mail, itemId(0, order)));
    if (item?.state === 'processing') expect(purged).toMatchObject({ error: { code: 'wrong_state' } });
    else {
      expect(purged).toEqual({ ok: true, value: { count: 1, more: false } });
      expect([made.table.item(order), made.table.payload(order)]).toEqual([undefined, undefined]);
      expect(made.table.duplicateOf(mail, item?.key ?? '', 2)).toBeUndefined();
    }
  }
  expect(counts(made)).toMatchObject({ processing: 2 });
  expect(made.table.queue(mail)?.waitingCount).toBe(2);
  const again = made.turn(2, (turn) => decidePurge(turn, mail, itemId(0, 1)));
  expect(again).toMatchObject({ error: { code: 'not_found' } });
});

test.each(states.filter((state) => state !== 'processing' && state !== 'blocked'))(
  'all that is %s is removed, the oldest first, as much as is asked for',
  (state: QueueStatus) => {
    const made = filled();
    const before = counts(made);
    const purge = () => made.turn(2, (turn) => decidePurgeState(turn, mail, state, 1));
    expect([purge(), purge(), purge()]).toEqual([
      { count: 1, more: true },
      { count: 1, more: false },
      { count: 0, more: false },
    ]);
    expect(counts(made)).toEqual({ ...before, [state]: 0 });
  },
);

test('a purged queue is forgotten with its last item: nothing of it is stored, and its workers find nothing', async () => {
  const made = filled();
  made.turn(2, (turn) => decidePause(turn, mail, true));
  const held = [...made.table.leased.values()];
  await made.commit();
  const purge = () => made.turn(2, (turn) => decidePurgeAll(turn, mail, 10));
  expect(purge()).toEqual({ count: 10, more: true });
  expect(made.table.queue(mail)?.paused).toBe(true);
  expect(purge()).toEqual({ count: 4, more: false });
  expect(made.table.queue(mail)).toBeUndefined();
  await made.commit();
  expect(stored(made)).toEqual([]);
  for (const { order, token } of held) {
    const request = { id: itemId(0, order), token };
    const refused = { error: { code: 'not_found' } };
    expect(made.turn(3, (turn) => decideComplete(turn, mail, request))).toMatchObject(refused);
    const extend = { ...request, leaseMs: 1_000 };
    expect(made.turn(3, (turn) => decideExtend(turn, mail, extend))).toMatchObject(refused);
  }
  expect(purge()).toEqual({ count: 0, more: false });
  expect(made.enqueue(4, { key: 'k1' })).toMatchObject({ duplicate: false, state: 'pending' });
});

test('keys of items that were gone already are forgotten with their queue, also after a restart', async () => {
  const made = filled();
  made.turn(3_600_002, (turn) => decideSweep(turn));
  expect(made.table.item(1)).toBeUndefined();
  expect(made.table.duplicateOf(mail, 'k1', 3_600_002)).toBe(1);
  made.turn(3_600_002, (turn) => decidePurgeAll(turn, mail, 100));
  await made.commit();
  const reloaded = made.reloaded();
  for (const one of [made, reloaded]) expect(one.table.duplicateOf(mail, 'k1', 3_600_002)).toBeUndefined();
  const { id } = reloaded.enqueue(3_600_003, { key: 'k1' });
  expect(reloaded.enqueue(3_600_004, { key: 'k1' })).toMatchObject({ id, duplicate: true });
});

test('time passes over what was purged: nothing of it wakes up, is handed out or swept', () => {
  const made = filled();
  made.turn(2, (turn) => decidePurgeAll(turn, mail, 100));
  const order = made.table.nextOrder;
  made.enqueue(3);
  for (const at of [1_000, 100_000, 20 * 86_400_000]) {
    const facts = made.turn(at, (turn) => {
      decideTime(turn);
      decideSweep(turn);
      return turn.facts;
    });
    expect(facts).toEqual([]);
  }
  expect(dequeue(made, 20 * 86_400_000, 10).map((item) => item.order)).toEqual([order]);
});

test('what waits in one state is cancelled, the oldest first, as much as is asked for', () => {
  const made = filled();
  const cancel = (limit: number) => made.turn(2, (turn) => decideCancelState(turn, mail, 'scheduled', limit));
  expect([cancel(1), cancel(9), cancel(9)]).toEqual([1, 1, 0]);
  expect(counts(made)).toMatchObject({ scheduled: 0, cancelled: 4, pending: 2 });
});

test('a table that was purged is the same after a restart, whatever was purged', async () => {
  const purge = fc.oneof(
    fc.record({ kind: fc.constant('one' as const), order: fc.integer({ min: 1, max: 14 }) }),
    fc.record({ kind: fc.constant('state' as const), state: fc.constantFrom(...states) }),
    fc.record({ kind: fc.constant('all' as const) }),
  );
  const step = fc.record({ purge, limit: fc.integer({ min: 1, max: 6 }), commit: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
      const made = filled();
      for (const { purge: what, limit, commit } of steps) {
        made.turn(2, (turn) => {
          if (what.kind === 'one') decidePurge(turn, mail, itemId(0, what.order));
          else if (what.kind === 'all') decidePurgeAll(turn, mail, limit);
          else if (what.state !== 'processing') decidePurgeState(turn, mail, what.state, limit);
        });
        if (commit) await made.commit();
      }
      await made.commit();
      const reloaded = made.reloaded();
      expect(counts(reloaded)).toEqual(counts(made));
      const handed = [made, reloaded].map((one) => dequeue(one, 3, 20).map((item) => item.order));
      expect(handed[1]).toEqual(handed[0]);
      for (const { key, order } of reloaded.store.items())
        expect(value({ ok: true, value: made.table.duplicateOf(mail, key ?? '', 3) })).toBe(order);
    }),
    { numRuns: 60 },
  );
});

test.each(['new', 'idle', 'restarted'])(
  'a %s queue that has nothing but a schedule is known, and goes with its schedule',
  async (how) => {
    let made = new MadeTable();
    const schedule = madeSchedule({ cron: '86400000' });
    made.turn(1_000, (turn) => decideSchedules(turn, madeSlots(), mail, new Map([['daily', schedule]])));
    await made.commit();
    if (how === 'restarted') made = made.reloaded();
    if (how === 'idle')
      for (const at of [2_000, 8_000_000]) made.turn(at, (turn) => turn.table.tidy(turn.at));
    expect([...made.table.queues.keys()]).toEqual([mail]);
    made.turn(9_000_000, (turn) => decidePurgeAll(turn, mail, 100));
    expect(made.table.schedules.of(mail).size).toBe(0);
    expect(made.table.nextWakeAt).toBeUndefined();
    expect([...made.table.queues.keys()]).toEqual([]);
  },
);

test.each<[string, number, number]>([
  ['shorter before', 1_000, 24 * 3_600_000],
  ['longer before the first of two purges', 7 * 86_400_000, 7 * 86_400_000],
])('keys of a purged queue stand for nothing, also when the window was %s', (_, windowMs, untilMs) => {
  const made = new MadeTable({ done: { count: 0 }, failed: {} });
  const purge = (at: number, queue: string) => made.turn(at, (turn) => decidePurgeAll(turn, queue, 100));
  const configure = () => made.turn(0, (turn) => decideConfigure(turn, mail, { dedupWindowMs: windowMs }));
  if (windowMs === untilMs) configure();
  made.enqueue(0, { key: 'k' });
  const [item] = dequeue(made, 0);
  made.turn(0, (turn) => decideComplete(turn, mail, { id: itemId(0, 1), token: item?.token ?? 0 }));
  configure();
  purge(1, mail);
  made.enqueue(2, {}, mail);
  if (windowMs === untilMs) purge(3, mail);
  // Whatever is purged next clears away what is known of queues whose keys have gone.
  made.enqueue(4, {}, 'other');
  purge(untilMs - 2, 'other');
  expect(made.enqueue(untilMs - 1, { key: 'k' })).toMatchObject({ duplicate: false, state: 'pending' });
});
