import { expect, test } from 'vitest';
import { ErrorGroups, framesOf, groupId } from '#services/telemetry-collector/core/error-groups.ts';
import type { LogEntry } from '#services/telemetry-collector/core/interpret.ts';

const entry = (type: string, message: string, atMs: number, stack?: string): LogEntry => ({
  kind: 'error',
  source: 'shop',
  level: 'error',
  body: message,
  attributes: { 'exception.type': type, ...(stack === undefined ? {} : { 'exception.stacktrace': stack }) },
  atMs,
  receivedMs: atMs,
  origin: undefined,
});

test.each([
  [
    'JavaScript',
    'Error: a 1\n    at pay (/srv/app.js:10:5)\n    at async main (file:///srv/main.js?v=3:1:1)',
    'Error: b 2\n    at pay (/srv/app.js:11:7)\n    at async main (file:///srv/main.js?v=4:2:9)',
  ],
  [
    'Python',
    'Traceback (most recent call last):\n  File "/srv/a.py", line 3, in pay\n    x = d["7"]\nKeyError: \'7\'',
    'Traceback (most recent call last):\n  File "/srv/a.py", line 9, in pay\n    x = d["8"]\nKeyError: \'8\'',
  ],
  [
    'Java',
    'java.lang.IllegalStateException: 7\n\tat com.shop.Pay.run(Pay.java:12)\n\tat com.shop.Main.main(Main.java:3)',
    'java.lang.IllegalStateException: 8\n\tat com.shop.Pay.run(Pay.java:19)\n\tat com.shop.Main.main(Main.java:3)',
  ],
  [
    'Go',
    'panic: 7\ngoroutine 1 [running]:\nmain.pay(0xc000012345)\n\t/srv/main.go:12 +0x1d\nmain.main()\n\t/srv/main.go:30 +0x2a',
    'panic: 8\ngoroutine 9 [running]:\nmain.pay(0xc000099999)\n\t/srv/main.go:14 +0x1f\nmain.main()\n\t/srv/main.go:30 +0x2b',
  ],
])('a stack of %s is the same for other lines and ids', (_language, one, other) => {
  expect(framesOf(one).length).toBeGreaterThan(0);
  expect(framesOf(other)).toEqual(framesOf(one));
  expect(groupId('E', 'a', one)).toBe(groupId('E', 'b', other));
});

test('another function, another file and another type are another group', () => {
  const stack = (frame: string) => `Error: x\n    at ${frame}`;
  const ids = [
    groupId('E', 'm', stack('pay (/srv/app.js:1:1)')),
    groupId('E', 'm', stack('refund (/srv/app.js:1:1)')),
    groupId('E', 'm', stack('pay (/srv/other.js:1:1)')),
    groupId('F', 'm', stack('pay (/srv/app.js:1:1)')),
  ];
  expect(new Set(ids).size).toBe(4);
});

test('without a stack the message decides, but for what varies in it', () => {
  const one = groupId('E', 'order 4711 of "anna" at 0xff is gone', undefined);
  expect(groupId('E', 'order 4712 of "bert" at 0xfe is gone', undefined)).toBe(one);
  expect(groupId('E', 'order 4711 of "anna" at 0xff is late', undefined)).not.toBe(one);
});

test('late records move the first time and not the newest message', () => {
  const groups = new ErrorGroups({ groupsMax: 10, ageMsMax: 1_000_000 });
  groups.apply(entry('E', 'number 2', 2_000));
  groups.apply(entry('E', 'number 1', 1_000));
  expect(groups.all).toMatchObject([
    { count: 2, message: 'number 2', firstSeenMs: 1_000, lastSeenMs: 2_000 },
  ]);
});

test('groups are bounded by number and age, and what makes room is counted', () => {
  const groups = new ErrorGroups({ groupsMax: 2, ageMsMax: 10_000 });
  for (const [index, type] of ['A', 'B', 'C'].entries()) groups.apply(entry(type, 'm', index * 1_000));
  expect(groups.takeChange(3_000)).toMatchObject({ put: [{ type: 'B' }, { type: 'C' }] });
  expect(groups.takeChange(11_500).removed).toHaveLength(1);
  expect(groups.all).toMatchObject([{ type: 'C' }]);
  expect(groups.dropped).toBe(2);
});
