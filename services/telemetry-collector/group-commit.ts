import type { Clock } from '#shared/runtime/clock.ts';

export interface GroupCommitOptions<T> {
  /** How long a group waits for more, in milliseconds; 0 is to the end of this turn of the event loop. */
  readonly delayMs: number;
  /** A group of this weight goes at once. */
  readonly weightMax: number;
  readonly weightOf: (item: T) => number;
  /** Handles one group; the next one waits for it. A rejection is told to `fail`, and nothing runs after it. */
  readonly run: (items: readonly T[]) => Promise<void>;
  readonly fail: (error: Error) => void;
  readonly clock: Clock;
}

/** Gathers items into groups that are handled one after the other: what a commit costs, it costs once a group. */
export class GroupCommit<T> {
  readonly #options: GroupCommitOptions<T>;
  #items: T[] = [];
  #weight = 0;
  #running = false;
  #cancelTimer: (() => void) | undefined;
  #idle: (() => void)[] = [];

  constructor(options: GroupCommitOptions<T>) {
    this.#options = options;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#weight += this.#options.weightOf(item);
    if (this.#running) return;
    if (this.#weight >= this.#options.weightMax) this.flush();
    else this.#cancelTimer ??= this.#options.clock.after(this.#options.delayMs, () => this.flush());
  }

  /** Begins with what there is, without waiting for more. */
  flush(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#running || this.#items.length === 0) return;
    this.#running = true;
    void this.#runOnce();
  }

  /** Resolves once nothing is left. */
  drained(): Promise<void> {
    this.flush();
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
    });
  }

  async #runOnce(): Promise<void> {
    // What is added in the same breath goes with it: one answer of a destination ends the time of many messages.
    await Promise.resolve();
    const items = this.#items;
    this.#items = [];
    this.#weight = 0;
    try {
      await this.#options.run(items);
    } catch (error) {
      // `#running` stays: after a failed commit memory and table disagree, and the process ends.
      this.#options.fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#running = false;
    if (this.#items.length > 0) this.#next();
    else for (const resolve of this.#idle.splice(0)) resolve();
  }

  #next(): void {
    if (this.#weight >= this.#options.weightMax || this.#idle.length > 0) this.flush();
    else this.#cancelTimer = this.#options.clock.after(this.#options.delayMs, () => this.flush());
  }
}
