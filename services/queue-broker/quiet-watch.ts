import type { QueueStatus } from '#shared/protocol/queue-schemas.ts';
import { type Clock, systemClock, within } from '#shared/runtime/clock.ts';
import type { ManualClock } from '#shared/runtime/manual-clock.ts';
import type { MemoryBroker } from './memory-broker.ts';

export interface QuietWatchOptions {
  readonly broker: Pick<MemoryBroker, 'holding' | 'changed'>;
  readonly clock: ManualClock;
  /** Resolves once nothing goes on by itself any more. */
  readonly settle: () => Promise<void>;
  /** The clock on the wall. Default: the system's. */
  readonly wall?: Clock;
}

/** Time that may pass while items are ready and nobody takes them: the longest window of a rate limit. */
const stuckMsMax = 86_400_000;

/** Waits until the queues in memory have nothing to do. */
export class QuietWatch {
  readonly #options: QuietWatchOptions;

  constructor(options: QuietWatchOptions) {
    this.#options = options;
  }

  /** Until nothing is ready or running, at the moment at which time stands. */
  async idle(timeoutMs: number): Promise<void> {
    await this.#unoccupied(timeoutMs);
    const ready = this.#options.broker.holding(['pending']);
    if (ready.size > 0) throw new Error(`${listOf(ready)} ready, and nobody takes them: ${reasons}`);
  }

  /** Until nothing is delayed or waits for an attempt either: time passes as it must. */
  async drain(timeoutMs: number): Promise<void> {
    const { broker, clock, settle } = this.#options;
    let stuckSinceMs: number | undefined;
    for (;;) {
      await this.#unoccupied(timeoutMs);
      if (broker.holding(unfinished).size === 0) return;
      const isDelayed = broker.holding(delayed).size > 0;
      stuckSinceMs = isDelayed ? undefined : (stuckSinceMs ?? clock.monotonicMs());
      if (stuckSinceMs !== undefined && clock.monotonicMs() - stuckSinceMs > stuckMsMax)
        return this.idle(timeoutMs);
      await clock.advance(clock.nextInMs ?? 0, settle);
    }
  }

  /** Until nothing runs. Rejects when something does for longer than `timeoutMs` on the wall. */
  async #unoccupied(timeoutMs: number): Promise<void> {
    const { broker, settle, wall = systemClock } = this.#options;
    const untilMs = wall.monotonicMs() + timeoutMs;
    for (;;) {
      await settle();
      const running = broker.holding(['processing']);
      if (running.size === 0) return;
      const leftMs = untilMs - wall.monotonicMs();
      if (leftMs <= 0) throw new Error(`after ${timeoutMs} ms ${listOf(running)} still running`);
      await within(wall, leftMs, broker.changed(), undefined);
    }
  }
}

const delayed: readonly QueueStatus[] = ['scheduled', 'retry'];
const unfinished: readonly QueueStatus[] = [...delayed, 'pending', 'processing'];

const reasons = 'no worker, one that is paused or rests, a paused queue, or a limit of it';

/** Such as "2 items of emails are". */
function listOf(held: ReadonlyMap<string, number>): string {
  const list = [...held].map(([queue, count]) => `${count} ${count === 1 ? 'item' : 'items'} of ${queue}`);
  return `${list.join(', ')} ${held.size === 1 && [...held.values()][0] === 1 ? 'is' : 'are'}`;
}
