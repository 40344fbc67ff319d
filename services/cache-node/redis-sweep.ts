import { type Clock, sleep } from '#shared/runtime/clock.ts';
import { RedisPages, type RedisRows, firstPosition } from './redis-pages.ts';
import { sweepScript } from './redis-cache-scripts.ts';

interface SweptRows extends RedisRows {
  readonly clock: Clock;
  /** Whether the key is this process's to remove. */
  readonly isMine: (key: string) => boolean;
}

/** Between two steps, in milliseconds: the sweep takes some per cent of what Redis can do. */
const pauseMs = 20;

/**
 * Removes rows that are void, so that a clear frees the memory of Redis and not only hides what it held. It is not
 * needed for anything else: where it fails, the next one does its work.
 */
export class RedisSweep {
  readonly #rows: SweptRows;
  readonly #pages: RedisPages;
  #run = 0;

  constructor(rows: SweptRows) {
    this.#rows = rows;
    this.#pages = new RedisPages(rows);
  }

  /** Begins at the beginning, also when one is under way. */
  start(): void {
    this.#run += 1;
    void this.#sweep(this.#run).catch(() => undefined);
  }

  stop(): void {
    this.#run += 1;
  }

  async #sweep(run: number): Promise<void> {
    const { clock, redis, floorOf, isMine } = this.#rows;
    for (let position: typeof firstPosition | undefined = firstPosition; position !== undefined;) {
      await sleep(clock, pauseMs);
      if (run !== this.#run) return;
      const { rows, next } = await this.#pages.step(position, '');
      const namesOf = new Map<number, string[]>();
      for (const { part, name, key, stamp } of rows)
        // Another node's floor may be another one.
        if (stamp <= floorOf(part) && isMine(key)) namesOf.set(part, [...(namesOf.get(part) ?? []), name]);
      for (const [part, names] of namesOf) await sweepScript.run(redis, names, [String(floorOf(part))]);
      position = next;
    }
  }
}
