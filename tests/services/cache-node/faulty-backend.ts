import type {
  Applied,
  Backend,
  BackendPage,
  Batch,
  Claim,
  PageQuery,
  Taken,
} from '#services/cache-node/backend.ts';
import { MemoryBackend, type MemoryBackendPlace } from '#services/cache-node/memory-backend.ts';
import type { TierNote, TierRecord } from '#services/cache-node/tier-record.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { SeededRandom } from '#tests/support/seeded-random.ts';

export type Weather = 'fine' | 'refusing' | 'frozen' | 'forgetful';

/** A Redis as a network shows it, for all nodes that use it. */
export interface FaultyPlace {
  readonly place: MemoryBackendPlace;
  weather: Weather;
  /** Nothing of a process arrives after its end. */
  readonly isPrompt: boolean;
  /** What a frozen one has received: carried out, in order, when it thaws. */
  readonly received: (() => void)[];
}

/** It answers late, refuses, loses answers, or freezes and does everything later, after its askers gave up. */
export class FaultyBackend implements Backend {
  readonly #inner: MemoryBackend;
  readonly #place: FaultyPlace;
  readonly #random: SeededRandom;
  readonly #clock: Clock;
  #isClosed = false;
  /** One connection: what was sent first is carried out first. */
  #line: Promise<unknown> = Promise.resolve();

  constructor(place: FaultyPlace, random: SeededRandom, clock: Clock) {
    this.#place = place;
    this.#inner = new MemoryBackend(place.place);
    this.#random = random;
    this.#clock = clock;
  }

  take(claim: Claim): Promise<Taken> {
    return this.#send(() => this.#inner.take(claim));
  }

  fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]> {
    return this.#send(() => this.#inner.fetch(keys));
  }

  apply(batch: Batch): Promise<Applied> {
    return this.#send(() => this.#inner.apply(batch));
  }

  page(query: PageQuery): Promise<BackendPage | undefined> {
    return this.#send(() => this.#inner.page(query));
  }

  /** What was sent and not carried out yet is still carried out, unless the place is one where that never happens. */
  close(): Promise<void> {
    this.#isClosed = true;
    return Promise.resolve();
  }

  async #send<T>(carryOut: () => Promise<T>): Promise<T> {
    const turn = this.#line.then(() => this.#carryOut(carryOut));
    this.#line = turn.catch(() => undefined);
    return turn;
  }

  async #carryOut<T>(carryOut: () => Promise<T>): Promise<T> {
    await this.#wait(this.#random.integer(0, 5));
    if (this.#place.weather === 'refusing') throw new Error('refused');
    if (this.#place.weather === 'frozen') {
      await new Promise<void>((resolve) => {
        this.#place.received.push(resolve);
      });
    }
    if (this.#isClosed && this.#place.isPrompt) throw new Error('the connection has ended');
    const answer = await carryOut();
    await this.#wait(this.#random.integer(0, 5));
    if (this.#place.weather === 'forgetful' && this.#random.chance(0.5))
      throw new Error('the answer was lost');
    return answer;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(ms, resolve);
    });
  }
}

export function setWeather(place: FaultyPlace, weather: Weather): void {
  place.weather = weather;
  if (weather === 'frozen') return;
  for (const carryOut of place.received.splice(0)) carryOut();
}

/** The record in memory; it takes a moment, and fails when it is told to. */
export class MemoryTierRecord implements TierRecord {
  readonly notes = new Map<string, TierNote>();
  readonly #clock: Clock;
  isDown = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async read(namespace: string): Promise<TierNote | undefined> {
    await this.#reach();
    return this.notes.get(namespace);
  }

  async isOutageElsewhere(): Promise<boolean> {
    await this.#reach();
    return false;
  }

  async write(namespace: string, note: TierNote): Promise<void> {
    await this.#reach();
    this.notes.set(namespace, note);
  }

  async #reach(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#clock.after(2, resolve);
    });
    if (this.isDown) throw new Error('no answer from the record');
  }
}
