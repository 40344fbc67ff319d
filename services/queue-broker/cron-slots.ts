import { Cron } from 'croner';
import { type Refusal, refuseField } from '#shared/protocol/errors.ts';
import type { SlotPattern, Slots } from './core/schedule.ts';

/** Patterns that are kept parsed: each takes some 100 KB. */
const patternsMax = 256;
const patterns = new Map<string, Cron>();

/** Slots are read a little further back than asked for: at a change of daylight saving one may be counted twice. */
const spareSlots = 4;

/** The door to cron and time zones. */
export const cronSlots: Slots = {
  nextSlot: (pattern, afterMs) => parsed(pattern).nextRun(new Date(afterMs))?.getTime(),
  beforeNewest: (pattern, untilMs, count) => {
    const newest = parsed(pattern).previousRuns(count + spareSlots, new Date(untilMs + 1_000));
    return (newest.at(-1)?.getTime() ?? 0) - 1;
  },
};

/** Why a pattern names no slots, by the field that is wrong; undefined for a good one. */
export function patternFault(pattern: SlotPattern): Refusal | undefined {
  const { cron, timeZone } = pattern;
  if (!isTimeZone(timeZone))
    return refuseField('timeZone', 'must be the IANA name of a time zone, such as Europe/Berlin').error;
  // "?" stands for the time at which the pattern is read, and so for another moment after each restart.
  if (![5, 6].includes(cron.trim().split(/\s+/).length) || cron.includes('?')) return badCron();
  try {
    parsed(pattern);
    return undefined;
  } catch (error) {
    return badCron(error);
  }
}

function badCron(error?: unknown): Refusal {
  const why = error instanceof Error ? `: ${error.message.replace(/^CronPattern: /, '')}` : '';
  return refuseField('cron', `must be five fields, or six with seconds first, such as "0 9 * * MON"${why}`)
    .error;
}

function isTimeZone(name: string): boolean {
  // Offsets such as +02:00 are no names, and know no daylight saving.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }) instanceof Intl.DateTimeFormat;
  } catch {
    return false;
  }
}

function parsed({ cron, timeZone }: SlotPattern): Cron {
  const key = `${timeZone}\n${cron}`;
  const known = patterns.get(key);
  if (known !== undefined) return known;
  if (patterns.size >= patternsMax) patterns.clear();
  // `no-wildcard`: also with lists and ranges of hours a slot that the clock shows twice is one slot.
  const made = new Cron(cron, {
    timezone: timeZone,
    mode: '5-or-6-parts',
    fixedTimeRule: 'no-wildcard',
    paused: true,
  });
  patterns.set(key, made);
  return made;
}
