import type { Overlay } from './overlay.ts';

// What has been counted of a queue for as long as it exists. Facts count, so that a replay counts the same; what was
// counted is stored with everything else, one small record for each queue of which something has changed.

interface CountersRecord {
  readonly attempts: number;
  readonly expiredLeases: number;
  readonly failures: readonly (readonly [type: string, count: number])[];
  /** Absent in what brokers wrote that did not count it. */
  readonly finished?: Finished;
}

/** Items by the state that they ended in. */
export interface Finished {
  readonly done: number;
  readonly failed: number;
  readonly cancelled: number;
}

const prefix = 'figures/';

/** Failure types counted apart for one queue. */
const failureTypesMax = 100;

/** The counters of one queue. */
export class QueueCounters {
  readonly #queue: string;
  readonly #changed: Set<QueueCounters>;
  #isChanged = false;
  #attempts = 0;
  #expiredLeases = 0;
  #failures: Map<string, number> | undefined;
  #done = 0;
  #failed = 0;
  #cancelled = 0;

  /** @param changed where counters go that have to be stored */
  constructor(queue: string, changed: Set<QueueCounters>) {
    this.#queue = queue;
    this.#changed = changed;
  }

  /** Attempts that were started, those that were handed back among them. */
  get attempts(): number {
    return this.#attempts;
  }

  get expiredLeases(): number {
    return this.#expiredLeases;
  }

  /** Failures by the `type` that workers gave. Bounded: types beyond the limit count as `other`. */
  get failuresByType(): ReadonlyMap<string, number> {
    return this.#failures ?? none;
  }

  /** Items that ended, by how; one that was replayed counts each time. */
  get finished(): Finished {
    return { done: this.#done, failed: this.#failed, cancelled: this.#cancelled };
  }

  countFinished(state: keyof Finished): void {
    if (state === 'done') this.#done += 1;
    else if (state === 'failed') this.#failed += 1;
    else this.#cancelled += 1;
    if (!this.#isChanged) this.#note();
  }

  countAttempt(): void {
    this.#attempts += 1;
    if (!this.#isChanged) this.#note();
  }

  countExpiredLease(): void {
    this.#expiredLeases += 1;
    this.#note();
  }

  countFailure(type: string): void {
    this.#failures ??= new Map();
    const name = this.#failures.has(type) || this.#failures.size < failureTypesMax ? type : 'other';
    this.#failures.set(name, (this.#failures.get(name) ?? 0) + 1);
    this.#note();
  }

  load({ attempts, expiredLeases, failures, finished }: CountersRecord): void {
    ({ done: this.#done, failed: this.#failed, cancelled: this.#cancelled } = finished ?? noneFinished);
    this.#attempts = attempts;
    this.#expiredLeases = expiredLeases;
    this.#failures = failures.length === 0 ? undefined : new Map(failures);
  }

  /** Writes down what was counted. */
  keep(overlay: Overlay): void {
    this.#isChanged = false;
    const record: CountersRecord = {
      attempts: this.#attempts,
      expiredLeases: this.#expiredLeases,
      failures: [...(this.#failures ?? none)],
      finished: this.finished,
    };
    overlay.putRecord(countersKey(this.#queue), record);
  }

  #note(): void {
    this.#isChanged = true;
    this.#changed.add(this);
  }
}

const noneFinished: Finished = { done: 0, failed: 0, cancelled: 0 };
const none: ReadonlyMap<string, number> = new Map();

export const countersKey = (queue: string): string => `${prefix}${queue}`;

/** Writes down the counters that have changed since the last time. */
export function keepCounters(changed: Set<QueueCounters>, overlay: Overlay): void {
  for (const counters of changed) counters.keep(overlay);
  changed.clear();
}

/** Takes in one stored record at start; false when it is of another kind. */
export function loadCounters(
  key: string,
  value: object,
  countersOf: (queue: string) => QueueCounters,
): boolean {
  if (!key.startsWith(prefix)) return false;
  countersOf(key.slice(prefix.length)).load(value as CountersRecord);
  return true;
}
