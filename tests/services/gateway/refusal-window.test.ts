import { expect, test } from 'vitest';
import { readViolation } from '#services/gateway/core/nats-violation.ts';
import { shownInAudit } from '#services/gateway/core/redaction.ts';
import { RefusalWindow } from '#services/gateway/core/refusal-window.ts';

const note = (why: string, from = '203.0.113.7:1') =>
  ({
    who: 'nobody',
    id: 'nobody',
    via: 'http',
    from,
    operation: 'GET /x',
    on: 'the gateway',
    result: 'unauthorized',
    why,
  }) as const;

test('the first refusal of a kind is written at once, those that follow within ten seconds as one with their count', () => {
  const window = new RefusalWindow();
  expect(window.note(note('a'), 0)).toHaveLength(1);
  for (let n = 2; n < 40; n += 1) expect(window.note(note('a', `203.0.113.7:${n}`), n)).toEqual([]);
  expect(window.note(note('b'), 5)).toHaveLength(1);
  expect(window.due(9_999)).toEqual([]);
  expect(window.due(10_010)).toMatchObject([{ why: 'a', count: 38 }]);
  expect(window.note(note('a'), 10_011)).toHaveLength(1);
});

test('a flood of different refusals becomes one entry, too', () => {
  const window = new RefusalWindow();
  let written = 0;
  for (let n = 0; n < 100_000; n += 1)
    written += window.note(note(`made up ${n}`, `203.0.113.7.${n}:1`), 0).length;
  expect(written).toBe(1_001);
  const due = window.due(20_000);
  expect(due).toMatchObject([{ who: 'several', count: 98_999 }]);
});

test('a flood of one principal, or of one stranger, takes the names out of nobody else’s entries', () => {
  const window = new RefusalWindow();
  const of = (id: string, n: number) => ({
    ...note('may not', `203.0.113.7:${n}`),
    who: id,
    id,
    on: `queue q${n}`,
  });
  const flood = (id: string) => {
    let written = 0;
    for (let n = 0; n < 50_000; n += 1) written += window.note(of(id, n), 0).length;
    return written;
  };
  expect(['k-loud', 'nobody'].map(flood)).toEqual([101, 101]);
  const quiet = of('k-quiet', 1);
  expect([window.note(quiet, 1), window.note(quiet, 2)]).toEqual([[quiet], []]);
  expect(window.due(20_000)).toMatchObject([
    { who: 'k-loud', on: 'several', count: 49_899 },
    { who: 'nobody', on: 'several', count: 49_899 },
    { who: 'k-quiet', on: 'queue q1', count: 1 },
  ]);
  expect(flood('k-loud')).toBe(101);
});

test.each([
  [`SECRETSUBJ.trv_${'0a'.repeat(8)}_${'A-_b'.repeat(10)}AbC`, 'SECRETSUBJ.trv_…'],
  [`x.eyJhbGciOiJIUzI1NiJ9.${'eyJzdWIi'.repeat(9)}.sig_-n4ture`, 'x.eyJ…'],
  ['trivet.queue.trv_mails.enqueue', 'trivet.queue.trv_mails.enqueue'],
  ['s'.repeat(5_000), `${'s'.repeat(256)}…`],
])('no credential and nothing endless is shown of what a stranger chose: %s', (text, shown) => {
  expect(shownInAudit(text)).toBe(shown);
});

// Lines of nats-server 2.15.1.
const line = (name: string, rest: string) =>
  `[26093] 2026/11/26 14:59:30.597916 [ERR] 127.0.0.1:42694 - cid:18 - "v3.4.0:nats.js:${name}" - "CLIENTS/user:k-one" - ${rest}`;

test.each([
  ['Publish Violation - Subject "trivet.log.0"', { kind: 'publish', subject: 'trivet.log.0' }],
  ['Subscription Violation - Subject "_INBOX.>", SID 4', { kind: 'subscribe', subject: '_INBOX.>' }],
  ['Subscription Violation - Subject "a.b", Queue: "plainq", SID 4', { kind: 'subscribe', subject: 'a.b' }],
  ['Subscription Violation - Subject "x\\"y", Queue: "q\\"r", SID 6', { kind: 'subscribe', subject: 'x"y' }],
  ['Publish Violation - Subject "a\\"b"', { kind: 'publish', subject: 'a"b' }],
  ['Publish Violation - Subject "a\\\\b"', { kind: 'publish', subject: 'a\\b' }],
  ['Publish Violation - Subject "ét\\u00a0"', { kind: 'publish', subject: 'ét\\u00a0' }],
])('a violation in the log of nats-server is read: %s', (rest, found) => {
  expect(readViolation(line('worker', rest))).toEqual({
    account: 'CLIENTS',
    user: 'k-one',
    from: '127.0.0.1:42694',
    ...found,
  });
});

test('a client that has the text of a violation for its name is still itself', () => {
  const name = 'x" - "CLIENTS/user:k-victim" - Publish Violation - Subject "trivet.log.0"';
  expect(readViolation(line(name, 'Publish Violation - Subject "mine"'))).toMatchObject({
    user: 'k-one',
    subject: 'mine',
  });
});

test.each([
  '',
  'anything',
  '[1] 2026/11/26 14:59:25 [ERR] 127.0.0.1:1 - cid:16 - authentication error',
  line('x', 'Slow Consumer'),
])('any other line is none: %s', (text) => {
  expect(readViolation(text)).toBeUndefined();
});
