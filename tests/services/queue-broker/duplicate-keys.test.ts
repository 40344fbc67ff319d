import { expect, test } from 'vitest';
import { decideCancel } from '#services/queue-broker/core/admin-decisions.ts';
import { decideDequeue } from '#services/queue-broker/core/dequeue-decision.ts';
import { type EnqueueRequest, decideEnqueue } from '#services/queue-broker/core/enqueue-decisions.ts';
import { itemId } from '#services/queue-broker/core/item.ts';
import { decideComplete, decideFail } from '#services/queue-broker/core/lease-decisions.ts';
import { defaultSettings } from '#services/queue-broker/core/queue-settings.ts';
import { decideTime } from '#services/queue-broker/core/time-decisions.ts';
import type { Result } from '#shared/protocol/errors.ts';
import { ownerHeader } from '#shared/protocol/owner.ts';
import { payloadBytesMax } from '#shared/protocol/limits.ts';
import type { EnqueueOptions } from '#shared/protocol/queue-schemas.ts';
import { MadeTable, enqueueRequest, value } from './made-table.ts';

const first = itemId(0, 1);
const second = itemId(0, 2);
const key = 'k';

test('keep leaves the first item as it is, whatever it has become', () => {
  const made = new MadeTable();
  made.enqueue(0, { key, priority: 'high' });
  const before = made.table.item(1);
  for (const onDuplicate of [undefined, 'keep'] as const)
    expect(send(made, 1, '"other"', { key, ...(onDuplicate === undefined ? {} : { onDuplicate }) })).toEqual({
      id: first,
      queue: 'mail',
      state: 'pending',
      band: 1,
      duplicate: true,
    });
  expect(made.table.item(1)).toEqual(before);
  take(made, 2);
  expect(send(made, 3, '1', { key })).toMatchObject({ id: first, state: 'processing', duplicate: true });
});

test('replace gives the waiting item everything anew but its place, its time, its group and its key', () => {
  const made = new MadeTable();
  made.enqueue(0, { key, delay: '1m', timeout: '1s', expires: '1h', headers: { old: '1' }, group: 'g' });
  const answer = send(made, 10, '"new"', {
    key,
    onDuplicate: 'replace',
    delay: '5s',
    maxAttempts: 2,
    backoff: 'fixed:3s',
    headers: { new: '2' },
    group: 'other',
  });
  expect(answer).toMatchObject({ id: first, state: 'scheduled', duplicate: true, replaced: true });
  expect(made.table.item(1)).toMatchObject({
    runAt: 60_000,
    key,
    group: 'g',
    attemptsMax: 2,
    backoff: { kind: 'fixed', delayMs: 3_000 },
    headers: { new: '2' },
    enqueuedAt: 0,
  });
  expect(made.table.item(1)).toMatchObject({ timeoutMs: undefined, expiresAt: undefined });
  expect(text(made, 1)).toBe('"new"');
});

const ownedBy = (owner: string) => ({ [ownerHeader]: owner });

test('a replaced item stays with its first owner, and nobody else who says who he is replaces it', () => {
  const made = new MadeTable();
  made.enqueue(0, { key, headers: { ...ownedBy('ada'), old: '1' } });
  const before = made.table.item(1);
  const byBob = { key, onDuplicate: 'replace', headers: ownedBy('bob') } as const;
  expect(() => send(made, 1, '"taken"', byBob)).toThrow(/^conflict: /);
  expect(() => send(made, 1, '"taken"', { ...byBob, onDuplicate: 'debounce', delay: '1m' })).toThrow(
    /^conflict: /,
  );
  expect(made.table.item(1)).toEqual(before);
  send(made, 2, '"hers"', { key, onDuplicate: 'replace', headers: { ...ownedBy('ada'), new: '2' } });
  expect(made.table.item(1)?.headers).toEqual({ ...ownedBy('ada'), new: '2' });
  send(made, 3, '"of a service"', { key, onDuplicate: 'replace' });
  expect(made.table.item(1)?.headers).toEqual(ownedBy('ada'));
});

test('an item of nobody becomes nobody’s own by being replaced', () => {
  const made = new MadeTable();
  made.enqueue(0, { key });
  expect(send(made, 1, '1', { key, onDuplicate: 'replace', headers: ownedBy('bob') })).toMatchObject({
    replaced: true,
  });
  expect(made.table.item(1)?.headers).toBeUndefined();
});

test('a replaced item keeps its place among those that are ready', () => {
  const made = new MadeTable();
  made.enqueue(0, { key });
  made.enqueue(0);
  send(made, 1, '"new"', { key, onDuplicate: 'replace' });
  expect([take(made, 2), take(made, 3)]).toEqual([1, 2]);
});

test('debounce begins the delay anew: it runs once nobody has asked for that long', () => {
  const made = new MadeTable();
  const ask = (at: number) => send(made, at, `${at}`, { key, onDuplicate: 'debounce', delay: '1s' });
  expect(ask(0)).toMatchObject({ id: first, state: 'scheduled', duplicate: false });
  for (const at of [400, 900, 1_800, 2_799]) {
    expect(ask(at)).toMatchObject({ id: first, state: 'scheduled', duplicate: true, replaced: true });
    expect(take(made, at)).toBeUndefined();
  }
  expect(take(made, 3_798)).toBeUndefined();
  expect(take(made, 3_799)).toBe(1);
  expect(text(made, 1)).toBe('2799');
});

test('debounce puts off what is due and not yet handed out', () => {
  const made = new MadeTable();
  const ask = (at: number) => send(made, at, `${at}`, { key, onDuplicate: 'debounce', delay: '1s' });
  ask(0);
  made.turn(1_500, (turn) => decideTime(turn));
  expect(made.table.item(1)?.state).toBe('pending');
  expect(ask(1_600)).toMatchObject({ state: 'scheduled', replaced: true });
  expect(take(made, 2_599)).toBeUndefined();
  expect(take(made, 2_600)).toBe(1);
});

test.each(['replace', 'debounce'] as const)(
  '%s of an item that is being worked on makes a new one, for which the key stands then',
  (onDuplicate) => {
    const made = new MadeTable();
    made.enqueue(0, { key });
    take(made, 1);
    const options = { key, onDuplicate, delay: '1s' };
    expect(send(made, 2, '"b"', options)).toMatchObject({ id: second, duplicate: false });
    expect(send(made, 3, '"c"', options)).toMatchObject({ id: second, duplicate: true, replaced: true });
    const token = made.table.item(1)?.token ?? 0;
    expect(value(made.turn(4, (turn) => decideComplete(turn, 'mail', { id: first, token }))).state).toBe(
      'done',
    );
    expect(send(made, 5, '"d"', { key })).toMatchObject({ id: second, duplicate: true });
    expect([text(made, 1), text(made, 2)]).toEqual(['{}', '"c"']);
  },
);

test('an item that was cancelled or is gone is not replaced: a new one is made', () => {
  const made = new MadeTable({ done: { ageMs: 100 }, failed: {} });
  made.enqueue(0, { key });
  made.turn(1, (turn) => decideCancel(turn, 'mail', first));
  expect(send(made, 2, '1', { key, onDuplicate: 'replace' })).toMatchObject({ id: second, duplicate: false });
  made.turn(3, (turn) => decideCancel(turn, 'mail', second));
  made.turn(500, (turn) => turn.emit({ kind: 'swept', queue: 'mail' }));
  expect(made.table.item(2)).toBeUndefined();
  expect(send(made, 501, '2', { key, onDuplicate: 'replace' })).toMatchObject({
    id: itemId(0, 3),
    duplicate: false,
  });
});

test('a replaced item that has failed before keeps the attempts it has made, and has one left at least', () => {
  const made = new MadeTable();
  made.enqueue(0, { key, maxAttempts: 5, backoff: 'fixed:0ms' });
  for (const at of [1, 2, 3]) {
    take(made, at);
    const token = made.table.item(1)?.token ?? 0;
    made.turn(at, (turn) =>
      decideFail(turn, 'mail', { id: first, token, error: { message: 'no' }, retry: true }),
    );
  }
  expect(send(made, 4, '1', { key, onDuplicate: 'replace', maxAttempts: 2 })).toMatchObject({
    state: 'retry',
    replaced: true,
  });
  expect(made.table.item(1)).toMatchObject({ attempt: 3, attemptsMax: 4 });
});

test('a key is free once its window is over, counted from the item and not from what replaced it', () => {
  const made = new MadeTable();
  const { dedupWindowMs } = defaultSettings;
  made.enqueue(0, { key, delay: '30d' });
  const options = { key, onDuplicate: 'replace' } as const;
  expect(send(made, dedupWindowMs - 1, '1', options)).toMatchObject({ id: first, replaced: true });
  expect(send(made, dedupWindowMs, '2', options)).toMatchObject({ id: second, duplicate: false });
});

test('the window is the one that the queue is configured with', () => {
  const made = new MadeTable();
  made.turn(0, (turn) =>
    turn.emit({ kind: 'configured', queue: 'mail', settings: { dedupWindowMs: 1_000 } }),
  );
  made.enqueue(0, { key });
  expect(send(made, 999, '1', { key })).toMatchObject({ id: first, duplicate: true });
  expect(send(made, 1_000, '1', { key })).toMatchObject({ id: second, duplicate: false });
});

test('a payload that is too large, or too much for the queue, replaces nothing', () => {
  const made = new MadeTable();
  made.turn(0, (turn) => turn.emit({ kind: 'configured', queue: 'mail', settings: { bytesMax: 100 } }));
  made.enqueue(0, { key });
  const replace = (bytes: number) => ask(made, 1, 'x'.repeat(bytes), { key, onDuplicate: 'replace' });
  expect(replace(payloadBytesMax + 1)).toMatchObject({ ok: false, error: { code: 'payload_too_large' } });
  expect(replace(101)).toMatchObject({ ok: false, error: { code: 'queue_full' } });
  expect(text(made, 1)).toBe('{}');
  expect(replace(100)).toMatchObject({ ok: true });
});

function ask(made: MadeTable, at: number, payload: string, options: EnqueueOptions) {
  const request: EnqueueRequest = { ...enqueueRequest(options), payload: new TextEncoder().encode(payload) };
  return made.turn(at, (turn) => decideEnqueue(turn, request)) satisfies Result<unknown>;
}

const send = (made: MadeTable, at: number, payload: string, options: EnqueueOptions) =>
  value(ask(made, at, payload, options));

function take(made: MadeTable, at: number): number | undefined {
  return made.turn(at, (turn) => {
    decideTime(turn);
    return decideDequeue(turn, { queue: 'mail', max: 1, leaseMs: 50_000_000 })[0]?.order;
  });
}

const text = (made: MadeTable, order: number) => new TextDecoder().decode(made.table.payload(order));
