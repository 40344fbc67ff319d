import type { Clock } from '#shared/runtime/clock.ts';
import type { Delivery, Position } from './inbox.ts';
import type { Peers } from './peers.ts';

export interface RedeliveriesOptions {
  readonly peers: Pick<Peers, 'gather' | 'names'>;
  /** What the consumer remembers to have delivered. */
  readonly position: () => Promise<Position>;
  /** Deliveries that the consumer lets be under way at most. */
  readonly pendingMax: number;
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
// Deliveries that wait for an answer, and their bytes; what comes on top comes again later.
const waitingMax = 8_000;
const waitingBytesMax = 16 * 1_048_576;

/**
 * A message that is delivered again may be counted already, by a collector that was killed before it could acknowledge
 * it. Whoever is given it then asks the others first: the one that has counted it gets it, and when one of them is away
 * it waits for that one. So a record is counted once, by whichever collector, as long as every one of them comes back.
 *
 * JetStream says what is delivered again, but a server that was killed does not know all that it has delivered: it keeps
 * that on disk a moment later. So after each interruption the messages that it may have forgotten are asked about, too.
 */
export class Redeliveries {
  readonly #options: RedeliveriesOptions;
  #waiting: Delivery[] = [];
  #waitingBytes = 0;
  #interruptions = 0;
  /** What comes up to this sequence may have been delivered before, whatever JetStream says. */
  #forgottenThrough = Number.POSITIVE_INFINITY;

  constructor(options: RedeliveriesOptions) {
    this.#options = options;
  }

  take(delivery: Delivery): void {
    const { take, isOwn, clock } = this.#options;
    const isNew = delivery.deliveries <= 1 && delivery.sequence > this.#forgottenThrough;
    if (isNew || isOwn(delivery.sequence)) {
      take(delivery);
      return;
    }
    if (this.#waiting.length >= waitingMax || this.#waitingBytes >= waitingBytesMax) {
      delivery.later();
      return;
    }
    this.#waiting.push(delivery);
    this.#waitingBytes += delivery.body.length;
    if (this.#waiting.length === 1) clock.after(gatherMs, () => void this.#decide());
  }

  /** From now on every message may be a forgotten one, as at the start. */
  interrupted(): void {
    this.#interruptions += 1;
    this.#forgottenThrough = Number.POSITIVE_INFINITY;
  }

  /** Asks how far that goes; resolves once it is known. Rejects where nobody answers. */
  async resume(): Promise<void> {
    const { peers, position, pendingMax } = this.#options;
    const before = this.#interruptions;
    const [{ deliveredThrough, lastSequence }, names] = await Promise.all([position(), peers.names(0)]);
    if (before !== this.#interruptions) return;
    // Whoever is alone has counted what is counted. Else at most what may be under way at one time was forgotten: that
    // takes the server seconds to deliver, and it writes what it has delivered ten times a second.
    this.#forgottenThrough = names.length > 1 ? Math.min(lastSequence, deliveredThrough + pendingMax) : 0;
  }

  async #decide(): Promise<void> {
    const deliveries = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    const { peers, take, handOver } = this.#options;
    const before = this.#interruptions;
    const sequences = deliveries.map((one) => one.sequence);
    const { answers, silent } = await peers.gather('counted', sequences).catch(() => ({
      answers: [],
      silent: ['unknown'],
    }));
    const owners = new Map<number, string>();
    for (const { name, value } of answers)
      for (const sequence of value as readonly number[]) owners.set(sequence, name);
    // Where the server was lost meanwhile, it may have given them to another one since that one answered.
    const isCertain = silent.length === 0 && before === this.#interruptions;
    for (const delivery of deliveries) {
      const owner = owners.get(delivery.sequence);
      if (owner !== undefined) handOver(delivery, owner);
      else if (isCertain) take(delivery);
      // Else it may be one of theirs: it comes again.
      else delivery.later();
    }
  }
}
