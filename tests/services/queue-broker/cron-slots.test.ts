import { expect, test } from 'vitest';
import type { SlotPattern } from '#services/queue-broker/core/schedule.ts';
import { cronSlots, patternFault } from '#services/queue-broker/cron-slots.ts';

const nextSlot = (pattern: SlotPattern, afterMs: number) => cronSlots.nextSlot(pattern, afterMs);
const ms = (time: string) => Date.parse(time);

/** The slots of a pattern after a moment. */
function slotsOf(cron: string, timeZone: string, from: string, count: number): readonly string[] {
  const slots: string[] = [];
  let at: number | undefined = ms(from);
  while (slots.length < count) {
    at = nextSlot({ cron, timeZone }, at);
    if (at === undefined) break;
    slots.push(new Date(at).toISOString().replace(':00.000Z', 'Z'));
  }
  return slots;
}

test('a slot is after the moment that is given, and exact to the second with six fields', () => {
  expect(slotsOf('*/20 * * * * *', 'UTC', '2026-05-01T00:00:00Z', 3)).toEqual([
    '2026-05-01T00:00:20.000Z',
    '2026-05-01T00:00:40.000Z',
    '2026-05-01T00:01Z',
  ]);
  expect(nextSlot({ cron: '* * * * * *', timeZone: 'UTC' }, 5_000)).toBe(6_000);
  expect(nextSlot({ cron: '* * * * * *', timeZone: 'UTC' }, 5_999)).toBe(6_000);
  expect(nextSlot({ cron: '* * * * *', timeZone: 'UTC' }, 60_001)).toBe(120_000);
});

test('lists, ranges, steps, names, the last day and the nth weekday are understood', () => {
  const from = '2026-05-01T12:00:00Z';
  expect(slotsOf('0 8-10/2,20 * * *', 'UTC', from, 3)).toEqual([
    '2026-05-01T20:00Z',
    '2026-05-02T08:00Z',
    '2026-05-02T10:00Z',
  ]);
  expect(slotsOf('0 9 * JUN MON', 'UTC', from, 1)).toEqual(['2026-06-01T09:00Z']);
  expect(slotsOf('0 0 L * *', 'UTC', from, 2)).toEqual(['2026-05-31T00:00Z', '2026-06-30T00:00Z']);
  expect(slotsOf('0 0 * * FRI#2', 'UTC', from, 1)).toEqual(['2026-05-08T00:00Z']);
  expect(slotsOf('0 0 29 2 *', 'UTC', from, 2)).toEqual(['2028-02-29T00:00Z', '2032-02-29T00:00Z']);
});

test('in Europe/Berlin a slot that does not exist fires when the clocks go on, one that exists twice once', () => {
  expect(slotsOf('30 2 * * *', 'Europe/Berlin', '2026-03-27T12:00:00Z', 3)).toEqual([
    '2026-03-28T01:30Z',
    '2026-03-29T01:00Z',
    '2026-03-30T00:30Z',
  ]);
  expect(slotsOf('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 3)).toEqual([
    '2026-10-25T00:30Z',
    '2026-10-26T01:30Z',
    '2026-10-27T01:30Z',
  ]);
  expect(slotsOf('0,30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 3)).toEqual([
    '2026-10-25T00:00Z',
    '2026-10-25T00:30Z',
    '2026-10-26T01:00Z',
  ]);
});

test('in America/New_York the same holds', () => {
  expect(slotsOf('30 2 * * *', 'America/New_York', '2026-03-07T12:00:00Z', 2)).toEqual([
    '2026-03-08T07:00Z',
    '2026-03-09T06:30Z',
  ]);
  expect(slotsOf('30 1 * * *', 'America/New_York', '2026-10-31T12:00:00Z', 2)).toEqual([
    '2026-11-01T05:30Z',
    '2026-11-02T06:30Z',
  ]);
});

test('a pattern that steps goes on at its pace while the clocks change', () => {
  for (const [timeZone, from] of [
    ['Europe/Berlin', '2026-10-24T22:00:00Z'],
    ['Europe/Berlin', '2026-03-28T23:00:00Z'],
    ['America/New_York', '2026-11-01T04:00:00Z'],
    ['America/New_York', '2026-03-08T05:00:00Z'],
  ] as const) {
    const slots = slotsOf('*/20 * * * *', timeZone, from, 18).map(ms);
    expect(new Set(slots.slice(1).map((slot, n) => slot - (slots[n] ?? 0)))).toEqual(new Set([1_200_000]));
  }
});

test.each([
  ['* * * * * *', 'UTC', '2026-05-01T00:00:00Z', 1_000],
  ['* * * * * *', 'Europe/Berlin', '2026-03-29T01:05:00Z', 1_000],
  ['* * * * * *', 'Europe/Berlin', '2026-10-25T01:01:00Z', 100],
  ['*/7 * * * *', 'America/New_York', '2026-11-01T06:40:00Z', 20],
  ['*/7 * * * *', 'America/New_York', '2026-03-08T08:40:00Z', 20],
  ['30 2 * * *', 'Europe/Berlin', '2026-10-27T00:00:00Z', 4],
  ['30 2 * * *', 'Europe/Berlin', '2026-03-31T00:00:00Z', 4],
  ['0,30 2 * * *', 'Europe/Berlin', '2026-10-25T01:15:00Z', 4],
  ['0 0 29 2 *', 'UTC', '2026-05-01T00:00:00Z', 10],
])('before the newest slots of %s in %s at %s is not too late', (cron, timeZone, until, most) => {
  for (const count of [1, 2, most]) {
    const from = cronSlots.beforeNewest({ cron, timeZone }, ms(until), count);
    let slots = 0;
    for (let at = nextSlot({ cron, timeZone }, from); at !== undefined && at <= ms(until); slots += 1)
      at = nextSlot({ cron, timeZone }, at);
    expect(slots).toBeGreaterThanOrEqual(count);
  }
});

test('a pattern that names no moment has no slot', () => {
  expect(nextSlot({ cron: '0 0 30 2 *', timeZone: 'UTC' }, 0)).toBeUndefined();
});

test.each([
  ['61 * * * *', 'UTC', 'cron'],
  ['* * * *', 'UTC', 'cron'],
  ['* * * * * * *', 'UTC', 'cron'],
  ['@daily', 'UTC', 'cron'],
  ['2030-01-01T00:00:00', 'UTC', 'cron'],
  ['? * * * *', 'UTC', 'cron'],
  ['a b c d e', 'UTC', 'cron'],
  ['*/0 * * * *', 'UTC', 'cron'],
  ['* * * * *', 'Mars/Olympus', 'timeZone'],
  ['* * * * *', '+02:00', 'timeZone'],
])('the pattern %j in %j is refused by its %s', (cron, timeZone, field) => {
  expect(patternFault({ cron, timeZone })?.details).toEqual({ field });
});

test('good patterns and zones are not refused', () => {
  for (const cron of ['* * * * *', '0 */5 * * * *', '0 9 * * MON-FRI', '  0   0 L * * '])
    for (const timeZone of ['UTC', 'Europe/Berlin', 'Etc/GMT+3', 'America/Argentina/Buenos_Aires'])
      expect(patternFault({ cron, timeZone })).toBeUndefined();
});

test('more patterns than are kept parsed are all right', () => {
  for (let n = 0; n < 600; n += 1) {
    const cron = `${n % 60} ${Math.floor(n / 60)} * * *`;
    expect(nextSlot({ cron, timeZone: 'UTC' }, 0)).toBe(
      (n % 60) * 60_000 + Math.floor(n / 60) * 3_600_000 || 86_400_000,
    );
  }
});
