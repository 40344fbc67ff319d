import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';

/** Something that may be done any number of times. True when nothing is left of it, false when it must be tried again. */
export type Errand = () => Promise<boolean>;

export interface ErrandsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Errands under way at once; those that wait to be tried again do not count. */
  readonly atOnceMax: number;
}

interface Known {
  readonly errand: Errand;
  running: boolean;
  /** It was asked for again while it was running: what is new came too late for it. */
  again: boolean;
  failures: number;
  cancelPause: () => void;
}

const firstPauseMs = 50;
const longestPauseMs = 5_000;

/** Runs errands by their names, a few at a time, each once at a time, and each again until it succeeds. */
export class Errands {
  readonly #options: ErrandsOptions;
  readonly #known = new Map<string, Known>();
  readonly #waiting = new Set<string>();
  #running = 0;
  #state: 'held' | 'running' | 'stopped' = 'held';

  constructor(options: ErrandsOptions) {
    this.#options = options;
  }

  /** Errands that have not succeeded yet. */
  get count(): number {
    return this.#known.size;
  }

  /** Asks for an errand; one that is under way runs once more afterwards. Nothing runs before `begin`. */
  run(name: string, errand: Errand): void {
    const known = this.#known.get(name);
    if (known !== undefined) {
      known.again ||= known.running;
      return;
    }
    this.#known.set(name, {
      errand,
      running: false,
      again: false,
      failures: 0,
      cancelPause: () => undefined,
    });
    this.#queue(name);
  }

  begin(): void {
    this.#state = 'running';
    this.#next();
  }

  /** Begins nothing any more. What is under way ends by itself. */
  stop(): void {
    this.#state = 'stopped';
    for (const { cancelPause } of this.#known.values()) cancelPause();
    this.#known.clear();
    this.#waiting.clear();
  }

  #queue(name: string): void {
    this.#waiting.add(name);
    this.#next();
  }

  #next(): void {
    for (const name of this.#waiting) {
      if (this.#state !== 'running' || this.#running >= this.#options.atOnceMax) return;
      this.#waiting.delete(name);
      const known = this.#known.get(name);
      if (known !== undefined) void this.#do(name, known);
    }
  }

  async #do(name: string, known: Known): Promise<void> {
    this.#running += 1;
    known.running = true;
    known.again = false;
    const succeeded = await known.errand().catch((error: unknown) => {
      this.#options.log.error({ err: error, errand: name }, 'an errand broke off, it is tried again');
      return false;
    });
    known.running = false;
    this.#running -= 1;
    if (this.#state === 'running') this.#conclude(name, known, succeeded);
    this.#next();
  }

  #conclude(name: string, known: Known, succeeded: boolean): void {
    if (!succeeded) {
      const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(known.failures, 10));
      known.failures += 1;
      known.cancelPause = this.#options.clock.after(pauseMs, () => this.#queue(name));
      return;
    }
    known.failures = 0;
    if (known.again) this.#queue(name);
    else this.#known.delete(name);
  }
}
