import { setTimeout as delay } from 'node:timers/promises';
import { type CacheNamespace, type Trivet, TrivetError } from '#shared/client/client.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';

const keys = 200;
const callers = 8;
const requestMs = 2_000;
/** What the machine itself may hold a call up, over its deadline. */
const graceMs = 1_500;

/** Each key has one writer, which knows what it may read: its last write or nothing, and after a delete nothing. */
export class CacheLoad {
  readonly #cache: CacheNamespace<number>;
  readonly #random: SeededRandom;
  readonly #faults = new Set<string>();
  #calls = 0;
  #refused = 0;

  constructor(trivet: Trivet, random: SeededRandom) {
    this.#cache = trivet.cache<number>('chaos', { timeoutMs: requestMs });
    this.#random = random;
  }

  get calls(): number {
    return this.#calls;
  }

  /** Calls that nobody could answer in time: they are allowed to, as long as they say so. */
  get refused(): number {
    return this.#refused;
  }

  get faults(): readonly string[] {
    return [...this.#faults].slice(0, 20);
  }

  async run(stopped: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: callers }, (_, caller) => this.#own(caller, stopped)));
  }

  async #own(caller: number, stopped: AbortSignal): Promise<void> {
    /** The least value that may be read of each key; what was deleted may not be read at all. */
    const least = new Map<string, number>();
    for (let value = 1; !stopped.aborted; value += 1) {
      const key = `${caller}-${this.#random.integer(1, keys / callers)}`;
      const roll = this.#random.next01();
      if (roll < 0.3) {
        if (await this.#call(() => this.#cache.set(key, value))) least.set(key, value);
        // The answer was lost, so it may be there or not: from here on it is not looked at until the next write.
        else least.delete(key);
      } else if (roll < 0.4) {
        if (await this.#call(() => this.#cache.delete(key))) least.set(key, Number.POSITIVE_INFINITY);
        else least.delete(key);
      } else {
        const known = least.get(key);
        await this.#call(async () => {
          const read = await this.#cache.get(key);
          if (read === undefined || known === undefined || read >= known) return;
          this.#faults.add(
            known === Number.POSITIVE_INFINITY
              ? `cache key ${key} was deleted and is read as ${read}`
              : `cache key ${key} is read as ${read} after ${known} was set`,
          );
        });
      }
      if (value % 50 === 0) await delay(5);
    }
  }

  /** @returns whether it was answered */
  async #call(ask: () => Promise<unknown>): Promise<boolean> {
    this.#calls += 1;
    const from = performance.now();
    try {
      await ask();
      return true;
    } catch (error) {
      if (!(error instanceof TrivetError) || !error.retryable)
        this.#faults.add(`a cache call failed with ${String(error)}`);
      this.#refused += 1;
      await delay(20);
      return false;
    } finally {
      const tookMs = performance.now() - from;
      if (tookMs > requestMs + graceMs)
        this.#faults.add(`a cache call took ${Math.round(tookMs)} ms of at most ${requestMs}`);
    }
  }
}
