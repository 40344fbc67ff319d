import type { ScheduleRemoved, ScheduleSet, SlotPassed } from '#services/queue-broker/core/facts.ts';
import { must } from './must.ts';
import type { Submitted } from './submitted.ts';

interface ModelSchedule {
  readonly periodMs: number;
  readonly missed: string;
  nextAt: number;
}

/** What schedules are, in the plainest words: a period and the slot that comes next. Patterns are those of `madeSlots`. */
export class ScheduleModel {
  readonly #submitted: Submitted;
  readonly #schedules = new Map<string, ModelSchedule>();
  /** The newest slot of each name, however often it came and went. */
  readonly #passed = new Map<string, number>();

  constructor(submitted: Submitted) {
    this.#submitted = submitted;
  }

  /** The slot that each schedule awaits. */
  get nextSlots(): ReadonlyMap<string, number> {
    return new Map([...this.#schedules].map(([name, { nextAt }]) => [name, nextAt] as const));
  }

  /** All schedules of a queue go with it. */
  forget(queue: string): void {
    for (const name of this.#schedules.keys()) if (name.startsWith(`${queue} `)) this.#schedules.delete(name);
  }

  /** @param newest the item that was enqueued last */
  take(fact: ScheduleSet | ScheduleRemoved | SlotPassed, at: number, newest: number): void {
    const name = `${fact.queue} ${fact.name}`;
    if (fact.kind === 'schedule-set') return this.#set(name, fact, at);
    const known = this.#schedules.get(name);
    if (known === undefined) throw new Error(`there is no schedule ${name}`);
    if (fact.kind === 'slot-passed') return this.#pass(name, known, fact, { at, newest });
    must(this.#submitted.has('unschedule', name), `nobody removed schedule ${name}`);
    this.#schedules.delete(name);
    return undefined;
  }

  #set(name: string, { schedule, begins }: ScheduleSet, at: number): void {
    const { cron, missed } = schedule;
    must(
      this.#submitted.has('schedule', name, cron, missed),
      `nobody set schedule ${name} to ${cron}, ${missed}`,
    );
    const known = this.#schedules.get(name);
    const periodMs = Number(cron);
    must(
      (begins !== undefined) === (known?.periodMs !== periodMs),
      `schedule ${name} begins anew, or should and does not`,
    );
    const nextAt = begins === undefined ? (known?.nextAt ?? 0) : (begins.nextAt ?? 0);
    const isFirst = nextAt > at && nextAt % periodMs === 0 && nextAt <= at + periodMs + 1_000;
    must(
      begins === undefined || isFirst,
      `schedule ${name} begins with ${nextAt}, which is not its first slot`,
    );
    this.#schedules.set(name, { periodMs, missed, nextAt });
  }

  #pass(
    name: string,
    known: ModelSchedule,
    { slot, order, full, nextAt = 0 }: SlotPassed,
    { at, newest }: { readonly at: number; readonly newest: number },
  ): void {
    const { periodMs, missed, nextAt: awaited } = known;
    must(nextAt % periodMs === 0 && nextAt > awaited, `schedule ${name} awaits ${nextAt} after ${awaited}`);
    known.nextAt = nextAt;
    if (slot === undefined) return must(missed === 'skip', `slot ${awaited} of ${name} makes nothing`);
    must(slot <= at, `slot ${slot} of ${name} comes before its time`);
    must(slot >= awaited && slot % periodMs === 0, `schedule ${name} has no slot ${slot}, or not any more`);
    must(slot > (this.#passed.get(name) ?? 0), `slot ${slot} of ${name} comes twice`);
    must(slot === awaited || missed !== 'all', `slot ${awaited} of ${name} is left out`);
    // Only a log that is nearly full takes no items here, and how full it is no record says.
    const made = full === true ? order === undefined : order === newest;
    must(made, `slot ${slot} of ${name} made no item in its record, or another one`);
    must(nextAt === slot + periodMs, `schedule ${name} leaves out the slots between ${slot} and ${nextAt}`);
    this.#passed.set(name, slot);
  }
}
