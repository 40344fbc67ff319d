import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { missedSlotsMax, scheduleBytesMax, schedulesMax } from '#shared/protocol/limits.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { type EnqueueRequest, enqueuedFact } from './enqueue-decisions.ts';
import { fullQueue } from './queue-room.ts';
import { type Schedule, type Slots, scheduleHeader, slotHeader } from './schedule.ts';
import type { ScheduleEntry } from './schedule-table.ts';
import type { Turn } from './turn.ts';

/** What firing slots needs besides the turn. */
export interface SlotInputs {
  readonly slots: Slots;
  /** Since when this owner has watched the time go by: slots before then were missed. Epoch milliseconds. */
  readonly attendedSince: number;
  /** The log has room for new items. */
  readonly hasRoom: boolean;
}

/** Slots and bytes of their items in one record: keeps those that were missed from holding up requests. */
const slotsPerTurn = 100;
const slotBytesPerTurn = 1_048_576;
/** `skip`: a slot that is not older than this still makes its item. */
const skippedAfterMs = 60_000;
/** The least time between two slots: six fields are exact to the second. */
const slotGapMsMin = 1_000;

/** By name; null removes. */
export type ScheduleChanges = ReadonlyMap<string, Schedule | null>;
/** What becomes of a queue's schedules; 'none': all of them go. */
export type AskedSchedules = ScheduleChanges | 'none';

/** Why a queue cannot have these schedules, asked before anything of the request is applied. */
export function checkSchedules(turn: Turn, slots: Slots, queue: string, asked: AskedSchedules): Result<null> {
  if (asked === 'none') return accept(null);
  const known = turn.table.schedules.of(queue);
  for (const [name, schedule] of asked) {
    if (schedule === null || !beginsAnew(known.get(name), schedule)) continue;
    if (slots.nextSlot(schedule, turn.nowMs) === undefined)
      return refuseField(`schedules.${name}.cron`, 'names no moment that ever comes');
  }
  const left = new Map([...known].map(([name, { schedule }]) => [name, schedule] as const));
  for (const [name, schedule] of asked)
    if (schedule === null) left.delete(name);
    else left.set(name, schedule);
  if (left.size > schedulesMax)
    return refuseField('schedules', `must be at most ${schedulesMax} in one queue`);
  const bytes = [...left.values()].reduce((sum, schedule) => sum + bytesOf(schedule), 0);
  if (bytes <= scheduleBytesMax) return accept(null);
  const problem = `the schedules of one queue would have ${bytes} bytes, the most is ${scheduleBytesMax}`;
  return refuse('payload_too_large', problem, { field: 'schedules' });
}

const bytesOf = ({ item }: Schedule): number => item.payload.length + JSON.stringify(item.options).length;

/** Sets and removes schedules that have been checked. */
export function decideSchedules(turn: Turn, slots: Slots, queue: string, asked: AskedSchedules): void {
  const known = turn.table.schedules.of(queue);
  const changes = asked === 'none' ? [...known.keys()].map((name) => [name, null] as const) : asked;
  for (const [name, schedule] of changes) {
    if (schedule !== null) {
      const begins = beginsAnew(known.get(name), schedule);
      const nextAt = begins ? slots.nextSlot(schedule, turn.nowMs) : undefined;
      const progress = nextAt === undefined ? {} : { nextAt };
      turn.emit({ kind: 'schedule-set', queue, name, schedule, ...(begins ? { begins: progress } : {}) });
    } else if (known.has(name)) turn.emit({ kind: 'schedule-removed', queue, name });
  }
}

const beginsAnew = (known: ScheduleEntry | undefined, { cron, timeZone }: Schedule): boolean =>
  known === undefined || known.schedule.cron !== cron || known.schedule.timeZone !== timeZone;

/**
 * Makes the items of the slots that have come, some at a time.
 * @returns bytes of the items, and whether more is due already
 */
export function decideSlots(
  turn: Turn,
  inputs: SlotInputs,
): { readonly bytes: number; readonly more: boolean } {
  let bytes = 0;
  for (let passed = 0; passed < slotsPerTurn && bytes < slotBytesPerTurn; passed += 1) {
    const due = turn.table.schedules.due(turn.at);
    if (due === undefined) return { bytes, more: false };
    bytes += passSlot(turn, inputs, due);
  }
  return { bytes, more: turn.table.schedules.due(turn.at) !== undefined };
}

/** Decides what becomes of a due schedule's next slot, or of all that were missed. @returns bytes of the item */
function passSlot(turn: Turn, inputs: SlotInputs, entry: ScheduleEntry): number {
  const slot = entry.progress.nextAt ?? turn.at;
  const wanted = isMissed(inputs, entry, slot) ? missedSlot(turn, inputs, entry, slot) : slot;
  if (wanted === undefined) return passOver(turn, inputs, entry, turn.at);
  // Not yet due: what is after the missed ones is awaited.
  if (wanted > turn.at) return passOver(turn, inputs, entry, wanted - 1);
  return fire(turn, inputs, entry, wanted);
}

/** That a slot is made up for was decided once, and holds across restarts. */
const isMissed = (
  { attendedSince }: SlotInputs,
  { schedule, progress }: ScheduleEntry,
  slot: number,
): boolean => slot < attendedSince && !(schedule.missed === 'all' && slot <= (progress.makesUpTo ?? 0));

/** The slot that makes the next item when the one that was awaited was missed; undefined for none that has come. */
function missedSlot(
  turn: Turn,
  { slots, attendedSince }: SlotInputs,
  { schedule }: ScheduleEntry,
  slot: number,
): number | undefined {
  const until = Math.min(turn.at, attendedSince - 1);
  switch (schedule.missed) {
    case 'once':
      return newestSlots(slots, schedule, slot, until, 1);
    case 'skip':
      return slot >= turn.at - skippedAfterMs ? slot : next(slots, schedule, turn.at - skippedAfterMs - 1);
    case 'all':
      return newestSlots(slots, schedule, slot, until, missedSlotsMax);
  }
}

/** The oldest of the newest `count` slots from `slot` to `until`. */
function newestSlots(slots: Slots, schedule: Schedule, slot: number, until: number, count: number): number {
  // So few that all are among the newest: nobody needs to be asked.
  if (until - slot < slotGapMsMin * (count - 1)) return slot;
  const from = slots.beforeNewest(schedule, until, count);
  const newest: number[] = [];
  let at = from < slot ? slot : next(slots, schedule, from);
  for (; at !== undefined && at <= until; at = next(slots, schedule, at)) {
    newest.push(at);
    if (newest.length > count) newest.shift();
  }
  return newest[0] ?? slot;
}

/** Lets all slots up to `until` go by without an item. */
function passOver(turn: Turn, { slots }: SlotInputs, entry: ScheduleEntry, until: number): number {
  const { queue, name, schedule } = entry;
  turn.emit({ kind: 'slot-passed', queue, name, ...nextField(slots, schedule, until) });
  return 0;
}

/** The item and the fact that its slot has passed go into one record: no crash comes between them. */
function fire(turn: Turn, inputs: SlotInputs, entry: ScheduleEntry, slot: number): number {
  const { queue, name, schedule } = entry;
  const { payload, options } = schedule.item;
  const makesUp = schedule.missed === 'all' && isMissed(inputs, entry, slot);
  const passed = {
    kind: 'slot-passed',
    queue,
    name,
    slot,
    ...nextField(inputs.slots, schedule, slot),
    ...(makesUp ? { makesUpTo: inputs.attendedSince - 1 } : {}),
  } as const;
  if (!inputs.hasRoom || fullQueue(turn.table, queue, { items: 1, bytes: payload.length }) !== undefined) {
    turn.emit({ ...passed, full: true });
    return 0;
  }
  const headers = { ...options.headers, [scheduleHeader]: name, [slotHeader]: formatTime(slot) };
  const request: EnqueueRequest = { queue, ...schedule.item, options: { ...options, headers } };
  const fact = enqueuedFact(turn, request, undefined);
  turn.emit(fact);
  turn.emit({ ...passed, order: fact.order });
  return payload.length + JSON.stringify(headers).length;
}

function nextField(slots: Slots, schedule: Schedule, afterMs: number): { readonly nextAt?: number } {
  const nextAt = next(slots, schedule, afterMs);
  return nextAt === undefined ? {} : { nextAt };
}

/** A slot that is not after the one before would be waited for without end: such a schedule rests. */
function next(slots: Slots, schedule: Schedule, afterMs: number): number | undefined {
  const slot = slots.nextSlot(schedule, afterMs);
  return slot !== undefined && slot > afterMs ? slot : undefined;
}
