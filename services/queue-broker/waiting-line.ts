import type { Clock } from '#shared/runtime/clock.ts';
import type { CapacityIndex } from './core/capacity-index.ts';
import type { StateEvent } from './core/state-event.ts';
import type { Turn } from './core/turn.ts';
import { claimBytes } from './log-bytes.ts';
import type { Answer, Waiter } from './work.ts';

interface Place {
  readonly waiter: Waiter;
  readonly cancelExpiry: () => void;
}

/** Dequeues that may wait at one partition: each holds a timer and a caller, about a kilobyte and a half. */
const waitersMax = 50_000;

/**
 * What serving may add to one record, in bytes: less than what the largest group leaves free of a message. Whoever
 * still waits then is served in the next record, which follows at once.
 */
const servedBytesMax = 262_144;

/** The dequeues that wait, by queue, first come first served. Not durable: who waits asks again. */
export class WaitingLine {
  readonly #clock: Clock;
  readonly #places = new Map<string, Set<Place>>();
  /** Those that have a claim, by queue and claim. */
  readonly #claims = new Map<string, Place>();
  /** Out of the line, since their question was asked again: they wait for their time alone. */
  readonly #passedOver = new Set<Place>();
  #length = 0;
  /** Served since `takeServed`: not answered before their record is durable. */
  #served: Waiter[] = [];
  /** What serving has added to the record of a turn. */
  #record: { readonly turn: Turn; bytes: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(queue: string): boolean {
    return this.#places.has(queue);
  }

  /** The names of those who wait at a queue, once for each dequeue. */
  *workersAt(queue: string): Iterable<string> {
    for (const { waiter } of this.#places.get(queue) ?? []) yield waiter.worker ?? '';
  }

  /** Notes every queue at which somebody waits, to be served with the next record. */
  noteEach(capacity: Pick<CapacityIndex, 'noteNow'>): void {
    for (const queue of this.#places.keys()) capacity.noteNow(queue);
  }

  /**
   * False when too many wait already: then the waiter has not joined. Who waits under the same claim is passed over.
   */
  join(waiter: Waiter, waitMs: number): boolean {
    if (this.#length >= waitersMax) return false;
    this.passOver(waiter);
    const line = this.#places.get(waiter.queue) ?? new Set<Place>();
    this.#places.set(waiter.queue, line);
    const place: Place = {
      waiter,
      cancelExpiry: this.#clock.after(waitMs, () => {
        this.#leave(place);
        waiter.expire();
      }),
    };
    line.add(place);
    if (waiter.claim !== undefined) this.#claims.set(claimKey(waiter), place);
    this.#length += 1;
    return true;
  }

  /**
   * Who waits under this claim gets nothing more: one question that is asked twice must not bring a second claim once
   * the first has ended. It hears so at its own time: sent away at once, two that share a claim would ask at once
   * again, and send each other away without end.
   */
  passOver(asked: Pick<Waiter, 'queue' | 'claim'>): void {
    const before = asked.claim === undefined ? undefined : this.#claims.get(claimKey(asked));
    if (before === undefined) return;
    this.#leave(before);
    this.#passedOver.add(before);
    this.#length += 1;
  }

  /** Serves who waits at `queue` until there is nothing left to hand out. */
  serve(queue: string, turn: Turn): readonly Answer[] {
    const answers: Answer[] = [];
    if (this.#record?.turn !== turn) this.#record = { turn, bytes: 0 };
    const record = this.#record;
    for (const place of this.#places.get(queue) ?? []) {
      if (record.bytes >= servedBytesMax) {
        turn.table.capacity.noteNow(queue);
        break;
      }
      const from = turn.facts.length;
      const answer = place.waiter.decide(turn);
      record.bytes += bytesOfClaims(turn, from);
      if (answer === undefined) break;
      this.#leave(place);
      place.cancelExpiry();
      this.#served.push(place.waiter);
      answers.push(answer);
    }
    return answers;
  }

  /** Who was served since the last call: they have left the line, and hear of it when their record is durable or not. */
  takeServed(): readonly Waiter[] {
    const served = this.#served;
    this.#served = [];
    return served;
  }

  /** Sends everybody away with nothing. */
  dismiss(): void {
    for (const line of [...this.#places.values(), this.#passedOver]) {
      for (const place of line) {
        place.cancelExpiry();
        place.waiter.expire();
      }
    }
    this.#places.clear();
    this.#claims.clear();
    this.#passedOver.clear();
    this.#length = 0;
  }

  #leave(place: Place): void {
    const line = this.#places.get(place.waiter.queue);
    if (line?.delete(place) === true || this.#passedOver.delete(place)) this.#length -= 1;
    const key = claimKey(place.waiter);
    if (this.#claims.get(key) === place) this.#claims.delete(key);
    if (line?.size === 0) this.#places.delete(place.waiter.queue);
  }
}

/** No queue has a blank in its name. */
const claimKey = ({ queue, claim = '' }: Pick<Waiter, 'queue' | 'claim'>): string => `${queue} ${claim}`;

/** Bytes of the claims among a turn's facts, from one of them on; what else is there has a limit of its own. */
function bytesOfClaims({ facts }: Turn, from: number): number {
  let bytes = 0;
  for (let at = from; at < facts.length; at += 1) {
    const fact = facts[at];
    if (fact?.kind === 'claimed') bytes += claimBytes(fact);
  }
  return bytes;
}

/** Whoever waits at a queue that has something new, or may hand out again, is served in the same record. */
export function serveWaiters(
  line: WaitingLine,
  turn: Turn,
  events: readonly StateEvent[],
  answers: Answer[],
): void {
  const { table } = turn;
  const served = new Set<string>();
  const serve = (queue: string): void => {
    if (served.has(queue) || !line.has(queue)) return;
    served.add(queue);
    for (const answer of line.serve(queue, turn)) answers.push(answer);
  };
  for (const queue of table.capacity.take(turn.at)) serve(queue);
  for (const { queue, state } of events) {
    // At a limit a lease that ended is as good as a new item.
    if (state === 'pending' || table.queue(queue)?.isLimited === true) serve(queue);
  }
}
