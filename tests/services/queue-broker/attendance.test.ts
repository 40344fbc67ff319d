import { expect, test } from 'vitest';
import { Attendance } from '#services/queue-broker/attendance.ts';

/** A clock whose two hands are moved apart. */
function hands() {
  let wallMs = 1_000_000;
  let monotonicMs = 5;
  const clock = { nowMs: () => wallMs, monotonicMs: () => monotonicMs, after: () => () => undefined };
  const pass = (ms: number, wallToo = ms) => {
    monotonicMs += ms;
    wallMs += wallToo;
  };
  return { clock, pass };
}

test('an owner has been there since it began, however long that is', () => {
  const { clock, pass } = hands();
  const attendance = new Attendance(clock);
  for (let n = 0; n < 1_000; n += 1) {
    pass(9_000);
    expect(attendance.since()).toBe(1_000_000);
  }
});

test('small corrections of the clock change nothing', () => {
  const { clock, pass } = hands();
  const attendance = new Attendance(clock);
  pass(5_000, 5_400);
  pass(5_000, 4_700);
  expect(attendance.since()).toBe(1_000_000);
});

test('what the clock jumps over was not attended', () => {
  const { clock, pass } = hands();
  const attendance = new Attendance(clock);
  pass(1_000, 3_600_000);
  expect(attendance.since()).toBe(4_600_000);
  pass(1_000);
  expect(attendance.since()).toBe(4_600_000);
});

test('after a jump back the owner is there from then on', () => {
  const { clock, pass } = hands();
  const attendance = new Attendance(clock);
  pass(1_000, -500_000);
  expect(attendance.since()).toBe(500_000);
});

test('an owner that was stopped for longer than it may be has been away', () => {
  const { clock, pass } = hands();
  const attendance = new Attendance(clock);
  pass(29_000);
  expect(attendance.since()).toBe(1_000_000);
  pass(31_000);
  expect(attendance.since()).toBe(1_060_000);
});
