import { Command } from 'commander';
import { expect, test } from 'vitest';
import { readDurations, timeOf } from '#services/cli/commands/durations.ts';

const nowMs = Date.parse('2026-05-04T12:00:00Z');

test.each([
  ['15m', '2026-05-04T11:45:00.000Z'],
  ['0s', '2026-05-04T12:00:00.000Z'],
  ['2d', '2026-05-02T12:00:00.000Z'],
  // What is neither is told by who knows what a time is.
  ['2026-05-04T11:00:00Z', '2026-05-04T11:00:00Z'],
  ['yesterday', 'yesterday'],
  ['999999999999d', '999999999999d'],
])('%s is %s', (text, time) => {
  expect(timeOf(text, nowMs)).toBe(time);
});

test('an option says by its flags that it takes a duration or a time', () => {
  const program = new Command();
  program.command('show').option('--since <time|ago>').option('--step <duration>').option('--name <name>');
  readDurations(program);
  program.parse(['show', '--since', '1h', '--step', '500', '--name', '1h'], { from: 'user' });
  const { since, ...others } = program.commands[0]?.opts() ?? {};
  expect(Math.abs(Date.now() - 3_600_000 - Date.parse(String(since)))).toBeLessThan(60_000);
  expect(others).toEqual({ step: 500, name: '1h' });
});
