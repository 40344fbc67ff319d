import type { Refusal } from '#shared/protocol/errors.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { EndWatch, Ended } from './core/end-watch.ts';
import type { AfterCommit } from './work.ts';

/** Somebody who waits until an item is final. */
export interface ResultWaiter {
  readonly order: number;
  /** Bytes that the answer will have, roughly. */
  readonly bytes: number;
  answer(ended: Ended): void;
  /** The wait is over, the item is not final. */
  expire(): void;
  /** Answers that there is nobody here to wait for, or that what was seen may not stand. */
  refuse(refusal: Refusal): void;
}

const nobody: readonly ResultWaiter[] = [];

interface Place {
  readonly waiter: ResultWaiter;
  readonly cancelExpiry: () => void;
}

/** Who may wait at one partition, as for dequeues: each holds a timer and a caller, about a kilobyte and a half. */
const waitersMax = 50_000;

/** Who may wait for one item, and how many bytes their answers may have together: they are all sent in one moment. */
const waitersPerItemMax = 1_000;
const answerBytesMax = 64 * 1_048_576;

/** Those who wait for results, by item. Not durable: who waits asks again. */
export class ResultLine {
  readonly #clock: Clock;
  readonly #watch: EndWatch;
  readonly #places = new Map<number, Set<Place>>();
  #length = 0;
  /** Served since `takeServed`: not answered before their record is durable. */
  #served: ResultWaiter[] = [];

  constructor(clock: Clock, watch: EndWatch) {
    this.#clock = clock;
    this.#watch = watch;
  }

  get length(): number {
    return this.#length;
  }

  /** False when too many wait already, at all or for this item: then the waiter has not joined. */
  join(waiter: ResultWaiter, waitMs: number): boolean {
    const line = this.#places.get(waiter.order) ?? new Set<Place>();
    const hasRoom =
      this.#length < waitersMax &&
      line.size < waitersPerItemMax &&
      (line.size === 0 || (line.size + 1) * waiter.bytes <= answerBytesMax);
    if (!hasRoom) return false;
    const place: Place = {
      waiter,
      cancelExpiry: this.#clock.after(waitMs, () => {
        this.#leave(place);
        waiter.expire();
      }),
    };
    this.#places.set(waiter.order, line);
    this.#watch.watch(waiter.order);
    line.add(place);
    this.#length += 1;
    return true;
  }

  /** Answers, once the turn is durable, for whoever waits for items that ended in it. */
  serve(): readonly AfterCommit[] {
    const answers: AfterCommit[] = [];
    for (const ended of this.#watch.take()) {
      const line = this.#places.get(ended.order);
      if (line === undefined) continue;
      this.#places.delete(ended.order);
      this.#length -= line.size;
      for (const { waiter, cancelExpiry } of line) {
        cancelExpiry();
        this.#served.push(waiter);
        answers.push(() => waiter.answer(ended));
      }
    }
    return answers;
  }

  /** Who was served since the last call: they have left the line, and hear of it when their record is durable or not. */
  takeServed(): readonly ResultWaiter[] {
    if (this.#served.length === 0) return nobody;
    const served = this.#served;
    this.#served = [];
    return served;
  }

  /** Sends everybody away to ask again. */
  dismiss(refusal: Refusal): void {
    const lines = [...this.#places.values()];
    this.#places.clear();
    this.#length = 0;
    for (const line of lines) {
      for (const { waiter, cancelExpiry } of line) {
        cancelExpiry();
        this.#watch.unwatch(waiter.order);
        waiter.refuse(refusal);
      }
    }
  }

  #leave(place: Place): void {
    const { order } = place.waiter;
    const line = this.#places.get(order);
    if (line?.delete(place) === true) this.#length -= 1;
    if (line?.size !== 0) return;
    this.#places.delete(order);
    this.#watch.unwatch(order);
  }
}
