import type { Clock } from '#shared/runtime/clock.ts';
import type { Delivery } from './inbox.ts';
import type { Peers } from './peers.ts';

export interface RedeliveriesOptions {
  readonly peers: Pick<Peers, 'gather'>;
  /** True where this collector has counted the message or is about to. */
  readonly isOwn: (sequence: number) => boolean;
  /** Counts it here. */
  readonly take: (delivery: Delivery) => void;
  /** Hands it to the collector that has counted it. */
  readonly handOver: (delivery: Delivery, collector: string) => void;
  readonly clock: Clock;
}

// What comes within this time is asked about together.
const gatherMs = 20;
// Deliveries that wait for an answer; what comes on top comes again later.
const waitingMax = 2_000;

/**
 * A message that is delivered again may be counted already, by a collector that was killed before it could acknowledge
 * it. Whoever is given it then asks the others first: the one that has counted it gets it, and when one of them is away
 * it waits for that one. So a record is counted once, by whichever collector, as long as every one of them comes back.
 */
export class Redeliveries {
  readonly #options: RedeliveriesOptions;
  #waiting: Delivery[] = [];

  constructor(options: RedeliveriesOptions) {
    this.#options = options;
  }

  take(delivery: Delivery): void {
    const { take, isOwn, clock } = this.#options;
    if (delivery.deliveries <= 1 || isOwn(delivery.sequence)) {
      take(delivery);
      return;
    }
    if (this.#waiting.length >= waitingMax) return;
    this.#waiting.push(delivery);
    if (this.#waiting.length === 1) clock.after(gatherMs, () => void this.#decide());
  }

  async #decide(): Promise<void> {
    const deliveries = this.#waiting;
    this.#waiting = [];
    const { peers, take, handOver } = this.#options;
    const sequences = deliveries.map((one) => one.sequence);
    const { answers, silent } = await peers.gather('counted', sequences).catch(() => ({
      answers: [],
      silent: ['unknown'],
    }));
    const owners = new Map<number, string>();
    for (const { name, value } of answers)
      for (const sequence of value as readonly number[]) owners.set(sequence, name);
    for (const delivery of deliveries) {
      const owner = owners.get(delivery.sequence);
      if (owner !== undefined) handOver(delivery, owner);
      else if (silent.length === 0) take(delivery);
      // Else it may be one of theirs: it comes again.
      else delivery.later();
    }
  }
}
