import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type Outcome, retryDelayMs } from './core/delivery.ts';

/** One thing that a destination must have, and who waits for it. */
export interface LaneItem<T> {
  readonly value: T;
  readonly bytes: number;
  /** Called once the destination has it or has refused it for good, or it was dropped. */
  readonly done: (isDropped?: boolean) => void;
}

export interface LaneOptions<T> {
  readonly name: string;
  /** Whether this destination must have everything: else the oldest go when too much waits for it. */
  readonly isRequired: () => boolean;
  /** Most items and bytes in one request. One item always goes, whatever its size. */
  readonly itemsMax: number;
  readonly bytesMax: number;
  /** The request that carries these; encoded once, so that a repetition is the same to the byte. */
  readonly encode: (values: readonly T[]) => Uint8Array;
  /** How much one value counts for in the figures: the records in it. */
  readonly sizeOf: (value: T) => number;
  readonly post: (body: Uint8Array) => Promise<Outcome>;
  /** Divides one item whose request is refused; undefined where it cannot be divided. */
  readonly halve: (value: T) => readonly [T, T] | undefined;
  /** Told of one that the destination refuses for good; once it resolves, the item is done. */
  readonly refused: (value: T, reason: string) => Promise<void>;
  /** Told of how many of one the destination did not take in a success. */
  readonly partly?: (value: T, count: number) => void;
  readonly clock: Clock;
  readonly random01: () => number;
  readonly log: Log;
}

export interface LaneState {
  readonly name: string;
  readonly state: 'up' | 'down';
  /** Messages that are on their way or wait for it. */
  readonly waiting: number;
  /** Records, points or requests, as the destination counts them. */
  readonly accepted: number;
  readonly refused: number;
  /** What went because it waited too long for a destination that need not have it, or one that is no more. */
  readonly dropped: number;
  readonly retries: number;
  readonly lastError?: string;
}

/** Bytes that may wait for a destination that need not have them; nothing else bounds them. */
const optionalBytesMax = 4 * 1_048_576;

/**
 * The way to one destination for one signal: requests go out one after the other; while one is on its way, what comes
 * gathers for the next. What fails is sent again for ever, with growing pauses; what is refused for good is halved
 * until the culprit is alone.
 */
export class Lane<T> {
  readonly #options: LaneOptions<T>;
  readonly #queue: LaneItem<T>[] = [];
  #running = false;
  #stopped = false;
  #abandoned = false;
  #wake: (() => void) | undefined;
  #lastError: string | undefined;
  #counts = { accepted: 0, refused: 0, dropped: 0, retries: 0, sending: 0 };
  #bytes = 0;

  constructor(options: LaneOptions<T>) {
    this.#options = options;
  }

  add(item: LaneItem<T>): void {
    this.#queue.push(item);
    this.#bytes += item.bytes;
    if (!this.#options.isRequired()) {
      while (this.#bytes > optionalBytesMax && this.#queue.length > 1) this.#drop();
    }
    // What was read while the destination was still there comes after its end.
    if (this.#abandoned) this.#drop();
    else if (!this.#running) void this.#run();
  }

  /** Sends nothing more; what was not accepted stays undone. */
  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /** The destination is no more: nobody waits any longer for what it has not taken. */
  abandon(): void {
    this.#abandoned = true;
    this.stop();
    while (this.#queue.length > 0) this.#drop();
  }

  /** Tries again at once: the destination is another now. */
  retryNow(): void {
    this.#wake?.();
  }

  #drop(): void {
    const item = this.#queue.shift();
    if (item === undefined) return;
    this.#bytes -= item.bytes;
    this.#counts.dropped += this.#options.sizeOf(item.value);
    item.done(true);
  }

  get state(): LaneState {
    const { accepted, refused, dropped, retries, sending } = this.#counts;
    return {
      name: this.#options.name,
      state: this.#lastError === undefined ? 'up' : 'down',
      waiting: this.#queue.length + sending,
      accepted,
      refused,
      dropped,
      retries,
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#queue.length > 0 && !this.#stopped) {
      const items = this.#take();
      this.#counts.sending = items.length;
      await this.#send(items);
      this.#counts.sending = 0;
    }
    this.#running = false;
  }

  #take(): readonly LaneItem<T>[] {
    const { itemsMax, bytesMax } = this.#options;
    let bytes = 0;
    let count = 0;
    for (const item of this.#queue) {
      if (count > 0 && (count >= itemsMax || bytes + item.bytes > bytesMax)) break;
      bytes += item.bytes;
      count += 1;
    }
    this.#bytes -= bytes;
    return this.#queue.splice(0, count);
  }

  async #send(items: readonly LaneItem<T>[]): Promise<void> {
    if (await this.#settle(items.map((item) => item.value))) {
      for (const item of items) item.done();
      return;
    }
    if (!this.#abandoned) return;
    for (const item of items) {
      this.#counts.dropped += this.#options.sizeOf(item.value);
      item.done(true);
    }
  }

  /** Sends until each value is accepted or refused for good. @returns false when it was stopped before */
  async #settle(values: readonly T[]): Promise<boolean> {
    const outcome = await this.#deliver(this.#options.encode(values));
    if (outcome === 'stopped') return false;
    const { sizeOf } = this.#options;
    if (outcome.kind === 'accepted') {
      const size = values.reduce((sum, value) => sum + sizeOf(value), 0);
      this.#counts.accepted += Math.max(0, size - outcome.rejected);
      this.#counts.refused += outcome.rejected;
      this.#tellPartly(values, outcome.rejected);
      return true;
    }
    const halves = this.#halves(values);
    if (halves !== undefined) return (await this.#settle(halves[0])) && this.#settle(halves[1]);
    for (const value of values) {
      this.#counts.refused += sizeOf(value);
      await this.#options.refused(value, outcome.reason);
    }
    return true;
  }

  /** OTLP says how many were not taken, not which: so they are counted from the first one on. */
  #tellPartly(values: readonly T[], rejected: number): void {
    let left = rejected;
    for (const value of values) {
      if (left <= 0) return;
      const count = Math.min(left, this.#options.sizeOf(value));
      this.#options.partly?.(value, count);
      left -= count;
    }
  }

  #halves(values: readonly T[]): readonly [readonly T[], readonly T[]] | undefined {
    const [first] = values;
    if (first === undefined) return undefined;
    if (values.length === 1) {
      const halves = this.#options.halve(first);
      return halves === undefined ? undefined : [[halves[0]], [halves[1]]];
    }
    const middle = values.length >>> 1;
    return [values.slice(0, middle), values.slice(middle)];
  }

  /** Posts until there is an answer that ends it. */
  async #deliver(body: Uint8Array): Promise<Exclude<Outcome, { kind: 'retry' }> | 'stopped'> {
    for (let attempt = 1; !this.#stopped; attempt += 1) {
      const outcome = await this.#options.post(body);
      if (outcome.kind !== 'retry') {
        this.#turn(undefined);
        return outcome;
      }
      this.#counts.retries += 1;
      this.#turn(outcome.reason);
      await this.#pause(retryDelayMs(attempt, this.#options.random01(), outcome.afterMs));
    }
    return 'stopped';
  }

  /** One line in the log when the destination goes away, and one when it comes back. */
  #turn(error: string | undefined): void {
    const { log, name } = this.#options;
    if (error !== undefined && this.#lastError === undefined)
      log.warn({ lane: name, error }, `${name} is not accepted: it waits and is sent again`);
    if (error === undefined && this.#lastError !== undefined)
      log.info({ lane: name }, `${name} is accepted again`);
    this.#lastError = error;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
      if (this.#stopped) this.#wake();
    });
  }
}
