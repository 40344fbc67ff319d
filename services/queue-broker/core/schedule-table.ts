import type { ScheduleRemoved, ScheduleSet, SlotPassed } from './facts.ts';
import { NumberHeap } from './number-heap.ts';
import type { Overlay } from './overlay.ts';
import type { Schedule, ScheduleProgress } from './schedule.ts';

/** A schedule of a queue, with how far it has come. */
export interface ScheduleEntry {
  readonly queue: string;
  readonly name: string;
  readonly schedule: Schedule;
  readonly progress: ScheduleProgress;
}

// Two records: what is configured may be large and changes rarely, progress changes with every slot.
const scheduleKey = (queue: string, name: string): string => `schedule/${queue}/${name}`;
const progressKey = (queue: string, name: string): string => `slot/${queue}/${name}`;
const keyPattern = /^(schedule|slot)\/([^/]+)\/([\s\S]+)$/;

/** The schedules of one partition's queues, and which slot comes next. Facts change them here and nowhere else. */
export class ScheduleTable {
  readonly #overlay: Overlay;
  readonly #queues = new Map<string, Map<string, ScheduleEntry>>();
  /** (slot, number of its schedule). Entries that no longer hold are dropped when they come up. */
  #next = new NumberHeap();
  #entries: (ScheduleEntry | undefined)[] = [];
  #count = 0;
  readonly #numbers = new Map<string, number>();
  readonly #loading = new Map<string, ScheduleProgress>();

  constructor(overlay: Overlay) {
    this.#overlay = overlay;
  }

  /** The queues that have schedules. */
  get queues(): Iterable<string> {
    return this.#queues.keys();
  }

  /** A queue's schedules by name. */
  of(queue: string): ReadonlyMap<string, ScheduleEntry> {
    return this.#queues.get(queue) ?? none;
  }

  /** Slots of a queue's schedules that found it full. */
  skippedOf(queue: string): number {
    return [...this.of(queue).values()].reduce((sum, { progress }) => sum + progress.skipped, 0);
  }

  /** The next slot of any schedule, or undefined. */
  get nextAt(): number | undefined {
    return this.#first()?.progress.nextAt;
  }

  /** The schedule whose slot comes next, if that is not after `nowMs`. */
  due(nowMs: number): ScheduleEntry | undefined {
    const first = this.#first();
    return first?.progress.nextAt !== undefined && first.progress.nextAt <= nowMs ? first : undefined;
  }

  /** Takes in one stored record at start; false for a record of another kind. */
  load(key: string, value: object): boolean {
    const [, kind, queue = '', name = ''] = keyPattern.exec(key) ?? [];
    if (kind === undefined) return false;
    if (kind === 'slot') {
      const known = this.#queues.get(queue)?.get(name);
      const progress = value as ScheduleProgress;
      if (known === undefined) this.#loading.set(key, progress);
      else this.#put({ ...known, progress });
    } else {
      const progress = this.#loading.get(progressKey(queue, name)) ?? { skipped: 0 };
      this.#loading.delete(progressKey(queue, name));
      this.#put({ queue, name, schedule: value as Schedule, progress });
    }
    return true;
  }

  set({ queue, name, schedule, begins }: ScheduleSet): void {
    const known = this.of(queue).get(name);
    const progress = known === undefined || begins !== undefined ? { skipped: 0, ...begins } : known.progress;
    this.#put({ queue, name, schedule, progress });
    this.#overlay.putRecord(scheduleKey(queue, name), schedule);
    this.#overlay.putRecord(progressKey(queue, name), progress);
  }

  remove({ queue, name }: Pick<ScheduleRemoved, 'queue' | 'name'>): void {
    const schedules = this.#queues.get(queue);
    if (schedules?.delete(name) !== true) return;
    this.#count -= 1;
    if (schedules.size === 0) this.#queues.delete(queue);
    this.#entries[this.#numberOf(queue, name)] = undefined;
    this.#overlay.putRecord(scheduleKey(queue, name), null);
    this.#overlay.putRecord(progressKey(queue, name), null);
  }

  /** Removes all schedules of a queue. */
  removeAll(queue: string): void {
    for (const name of this.of(queue).keys()) this.remove({ queue, name });
  }

  pass({ queue, name, slot, order, full, nextAt, makesUpTo }: SlotPassed): void {
    const known = this.of(queue).get(name);
    if (known === undefined)
      throw new Error(`the log speaks of schedule ${name}, which ${queue} does not have`);
    const { lastAt, skipped } = known.progress;
    const last = order === undefined ? lastAt : slot;
    const until = makesUpTo ?? known.progress.makesUpTo;
    const progress: ScheduleProgress = {
      ...(nextAt === undefined ? {} : { nextAt }),
      ...(last === undefined ? {} : { lastAt: last }),
      ...(until === undefined ? {} : { makesUpTo: until }),
      skipped: skipped + (full === true ? 1 : 0),
    };
    this.#put({ ...known, progress });
    this.#overlay.putRecord(progressKey(queue, name), progress);
  }

  #put(entry: ScheduleEntry): void {
    const { queue, name, progress } = entry;
    let schedules = this.#queues.get(queue);
    if (schedules === undefined) {
      schedules = new Map<string, ScheduleEntry>();
      this.#queues.set(queue, schedules);
    }
    if (!schedules.has(name)) this.#count += 1;
    schedules.set(name, entry);
    const number = this.#numberOf(queue, name);
    this.#entries[number] = entry;
    if (progress.nextAt !== undefined) this.#next.push(progress.nextAt, number);
    // A schedule that is configured again and again leaves an entry each time.
    if (this.#next.length > 4 * this.#count + 64) this.#renumber();
  }

  #first(): ScheduleEntry | undefined {
    for (;;) {
      const at = this.#next.firstRank;
      if (at === undefined) return undefined;
      const entry = this.#entries[this.#next.firstValue ?? 0];
      if (entry?.progress.nextAt === at) return entry;
      this.#next.shift();
    }
  }

  #numberOf(queue: string, name: string): number {
    const key = scheduleKey(queue, name);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#entries.length;
    this.#numbers.set(key, number);
    this.#entries.push(undefined);
    return number;
  }

  /** Numbers the schedules that there are anew, and forgets what is left of others. */
  #renumber(): void {
    const entries = this.#entries.filter((entry) => entry !== undefined);
    this.#next = new NumberHeap();
    this.#entries = entries;
    this.#numbers.clear();
    for (const [number, { queue, name, progress }] of entries.entries()) {
      this.#numbers.set(scheduleKey(queue, name), number);
      if (progress.nextAt !== undefined) this.#next.push(progress.nextAt, number);
    }
  }
}

const none: ReadonlyMap<string, ScheduleEntry> = new Map();
