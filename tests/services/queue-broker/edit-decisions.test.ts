import { expect, test } from 'vitest';
import { decideCancel, decideReprioritize } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { type UpdateRequest, decideUpdate } from '#services/queue-broker/core/edit-decisions.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideFail } from '#services/queue-broker/core/lease-decisions.ts';
import { decideTime } from '#services/queue-broker/core/time-decisions.ts';
import { MadeTable, value } from './made-table.ts';

const id = itemId(0, 1);
const bytes = (text: string) => new TextEncoder().encode(text);
const content = (text: string) => ({ payload: bytes(text), payloadIsJson: true });

test('an edit changes what it names and nothing else', () => {
  const made = new MadeTable();
  made.enqueue(0, { maxAttempts: 3, timeout: '1s', expires: '1m', headers: { a: 'b' }, group: 'g' });
  const before = made.table.item(1);
  expect(update(made, 5, { content: content('{"new":1}') })).toEqual({ id, state: 'pending' });
  expect(made.table.item(1)).toEqual({
    ...before,
    payloadBytes: 9,
    inline: bytes('{"new":1}'),
  });
  update(made, 6, { options: { attemptsMax: 9, timeoutMs: 7, expiresMs: 500, band: 0 } });
  expect(made.table.item(1)).toMatchObject({
    attemptsMax: 9,
    timeoutMs: 7,
    expiresAt: 506,
    band: 0,
    group: 'g',
  });
});

test.each<[string, UpdateRequest['content'] | undefined, number[]]>([
  ['a payload that was replaced, whatever becomes of its item before', content('"other"'), [1]],
  ['no payload where only options were', undefined, []],
])('whoever stores hears of %s', (_, replacing, edited) => {
  const made = new MadeTable();
  made.enqueue(0);
  update(made, 1, replacing === undefined ? { options: { attemptsMax: 9 } } : { content: replacing });
  made.turn(2, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 1_000 }));
  expect([...made.table.takeChanges().changes.edited]).toEqual(edited);
  made.table.stored();
  expect(made.table.takeChanges().changes.edited.size).toBe(0);
});

test('a payload moves to a row of its own when it grows and back when it shrinks, and is counted', async () => {
  const made = new MadeTable();
  made.enqueue(0);
  const held = () => ({
    text: new TextDecoder().decode(made.table.payload(1)),
    bytes: made.table.queue('mail')?.payloadBytes,
    waiting: made.table.queue('mail')?.waitingBytes,
  });
  for (const text of [
    `"${'x'.repeat(5_000)}"`,
    '"small"',
    `"${'y'.repeat(3_000)}"`,
    `"${'z'.repeat(4_000)}"`,
  ]) {
    update(made, 1, { content: content(text) });
    expect(held()).toEqual({ text, bytes: text.length, waiting: text.length });
    await made.commit();
    const again = made.reloaded();
    expect(new TextDecoder().decode(again.table.payload(1))).toBe(text);
  }
  update(made, 2, { content: content('1') });
  await made.commit();
  expect(made.store.payload(1)).toBeUndefined();
});

test('another priority puts a pending item at the end of its new band', () => {
  const made = new MadeTable();
  for (const priority of ['low', 'high', 'high'] as const) made.enqueue(0, { priority });
  update(made, 1, { options: { band: 1 } });
  expect(take(made, 2, 3)).toEqual([2, 3, 1]);
});

test('an edit that keeps the priority keeps the place in line', () => {
  const made = new MadeTable();
  for (let n = 0; n < 3; n += 1) made.enqueue(0);
  update(made, 1, { content: content('"edited"'), options: { band: 2, delayMs: 0 } });
  expect(take(made, 2, 3)).toEqual([1, 2, 3]);
});

test('a pending item that is delayed is handed out when its new time has come', () => {
  const made = new MadeTable();
  made.enqueue(0);
  expect(update(made, 10, { options: { delayMs: 90 } })).toEqual({ id, state: 'scheduled' });
  expect(take(made, 99, 1)).toEqual([]);
  expect(take(made, 100, 1)).toEqual([1]);
});

test('a scheduled item comes sooner, later or at once, whatever it was told before', () => {
  const made = new MadeTable();
  for (let n = 0; n < 3; n += 1) made.enqueue(0, { delay: '1s' });
  update(made, 1, { options: { runAt: 500 } });
  update(made, 2, { id: itemId(0, 2), options: { delayMs: 1_998 } });
  expect(update(made, 3, { id: itemId(0, 3), options: { delayMs: 0 } })).toMatchObject({ state: 'pending' });
  expect([3, 499, 500, 1_000, 1_999, 2_000].map((at) => take(made, at, 3))).toEqual([
    [3],
    [],
    [1],
    [],
    [],
    [2],
  ]);
});

test('an item whose time is put off a thousand times is woken once', () => {
  const made = new MadeTable();
  made.enqueue(0, { delay: '1s' });
  for (let at = 1; at <= 1_000; at += 1) update(made, at, { options: { delayMs: 1_000 } });
  expect(made.turn(1_999, (turn) => (decideTime(turn), turn.facts))).toEqual([]);
  expect(made.table.nextWakeAt).toBe(2_000);
  expect(made.turn(2_000, (turn) => (decideTime(turn), turn.facts))).toEqual([{ kind: 'due', orders: [1] }]);
  expect(made.table.nextWakeAt).toBeUndefined();
  expect(made.table.item(1)?.transitions).toHaveLength(2);
});

test('an item that waits for its retry is made pending, or told another time', () => {
  const made = new MadeTable();
  made.enqueue(0, { backoff: 'fixed:1m' });
  fail(made, 1);
  expect(update(made, 2, { options: { delayMs: 0 } })).toMatchObject({ state: 'pending' });
  fail(made, 3);
  expect(update(made, 4, { options: { delayMs: 10 } })).toMatchObject({ state: 'scheduled' });
  expect(take(made, 14, 1)).toEqual([1]);
  expect(made.table.item(1)?.attempt).toBe(3);
});

test('an item cannot be left without an attempt', () => {
  const made = new MadeTable();
  made.enqueue(0, { maxAttempts: 5, backoff: 'fixed:0ms' });
  for (const at of [1, 2, 3]) fail(made, at);
  const refused = made.turn(4, (turn) => decideUpdate(turn, 'mail', { id, options: { attemptsMax: 3 } }));
  expect(refused).toMatchObject({ ok: false, error: { details: { field: 'maxAttempts' } } });
  expect(update(made, 4, { options: { attemptsMax: 4 } })).toMatchObject({ state: 'retry' });
});

test('an item that is worked on or final is not edited', () => {
  const made = new MadeTable();
  made.enqueue(0);
  made.enqueue(0);
  const [claimed] = made.turn(1, (turn) => decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 5_000 }));
  made.turn(1, (turn) => decideCancel(turn, 'mail', itemId(0, 2)));
  const edit = (one: string) =>
    made.turn(2, (turn) => decideUpdate(turn, 'mail', { id: one, content: content('1'), options: {} }));
  expect(edit(id)).toMatchObject({
    ok: false,
    error: { code: 'wrong_state', details: { state: 'processing' } },
  });
  expect(edit(itemId(0, 2))).toMatchObject({ ok: false, error: { code: 'wrong_state' } });
  made.turn(3, (turn) => decideComplete(turn, 'mail', { id, token: claimed?.token ?? 0 }));
  expect(edit(id)).toMatchObject({ ok: false, error: { code: 'wrong_state', details: { state: 'done' } } });
  expect(edit(itemId(0, 3))).toMatchObject({ ok: false, error: { code: 'not_found' } });
});

test('an edit that asks for what is so already leaves no record', () => {
  const made = new MadeTable();
  made.enqueue(0, { priority: 'high' });
  const facts = made.turn(1, (turn) => {
    decideUpdate(turn, 'mail', { id, options: { band: 1, delayMs: 0 } });
    return turn.facts;
  });
  expect(facts).toEqual([]);
});

test('what was edited is the same after a restart', async () => {
  const made = new MadeTable();
  made.enqueue(0, { delay: '1s' });
  made.enqueue(0);
  update(made, 1, { options: { runAt: 5_000 }, content: content('"later"') });
  update(made, 2, { id: itemId(0, 2), options: { band: 0, timeoutMs: 9 } });
  made.turn(3, (turn) => decideReprioritize(turn, 'mail', id, 3));
  await made.commit();
  const again = made.reloaded();
  for (const order of [1, 2]) expect(again.table.item(order)).toEqual(made.table.item(order));
  expect(again.table.nextWakeAt).toBe(5_000);
  expect(take(again, 4_999, 5)).toEqual([2]);
  expect(take(again, 5_000, 5)).toEqual([1]);
});

function update(made: MadeTable, at: number, request: Partial<UpdateRequest>) {
  return value(made.turn(at, (turn) => decideUpdate(turn, 'mail', { id, options: {}, ...request })));
}

/** Lets time do what is due, and takes what is ready. */
function take(made: MadeTable, at: number, max: number): readonly number[] {
  return made.turn(at, (turn) => {
    decideTime(turn);
    return decideDequeue(turn, { queue: 'mail', max, leaseMs: 50_000 }).map(({ order }) => order);
  });
}

function fail(made: MadeTable, at: number): void {
  const [order] = take(made, at, 1);
  const item = made.table.item(order ?? 0);
  const request = { id, token: item?.token ?? 0, error: { message: 'no' }, retry: true };
  made.turn(at, (turn) => decideFail(turn, 'mail', request));
}
