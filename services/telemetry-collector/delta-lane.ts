import { deltaOf } from './core/deltas.ts';
import type { Series } from './core/series.ts';
import type { DeltaStore } from './delta-table.ts';
import type { SeriesParcel } from './destination.ts';
import { Lane, type LaneItem, type LaneOptions, type LaneState } from './lane.ts';

export interface DeltaLaneOptions extends Pick<
  LaneOptions<readonly Series[]>,
  'name' | 'post' | 'clock' | 'random01' | 'log'
> {
  readonly destination: string;
  readonly store: DeltaStore;
  /** Whether messages wait for it. Nothing is lost where they do not: the position says what is missing. */
  readonly isRequired: () => boolean;
  /** The request that carries these points; the same points are the same bytes. */
  readonly encode: (points: readonly Series[]) => Uint8Array;
  /** The table cannot be written: nothing may be sent of which it is not known what it covers. */
  readonly fail: (error: Error) => void;
}

/** Points of one request: histograms included it stays below what receivers commonly allow. */
const pointsMax = 2_000;

/**
 * The way of the totals to a destination that wants deltas. What has changed is cut off as points, which are written
 * down with the position behind them before they are sent. After a crash the very same points go again: a receiver has
 * each of them, some perhaps twice with the same times, and the next ones begin where they end.
 */
export class DeltaLane {
  readonly #options: DeltaLaneOptions;
  readonly #lane: Lane<readonly Series[]>;
  /** The latest of each series that waits for the next cut: bounded by their number, however long it is down. */
  #series = new Map<number, Series>();
  #parcels: LaneItem<SeriesParcel>[] = [];
  /** Those that the cut which is on its way carries. */
  #sending: readonly LaneItem<SeriesParcel>[] = [];
  #isLooked = false;
  #running = false;
  #stopped = false;

  constructor(options: DeltaLaneOptions) {
    this.#options = options;
    const { name, post, clock, random01, log, encode } = options;
    this.#lane = new Lane({
      name,
      // A cut is never dropped: its position has moved.
      isRequired: () => true,
      itemsMax: 1,
      bytesMax: 1,
      encode: ([points = []]) => encode(points),
      sizeOf: (points) => points.length,
      post,
      halve: (points) => {
        const middle = points.length >>> 1;
        return middle === 0 ? undefined : [points.slice(0, middle), points.slice(middle)];
      },
      refused: (points, reason) => this.#refused(points, reason),
      clock,
      random01,
      log,
    });
  }

  add(item: LaneItem<SeriesParcel>): void {
    for (const one of item.value.series) this.#series.set(one.id, one);
    if (this.#options.isRequired()) this.#parcels.push(item);
    else item.done();
    if (!this.#running) void this.#run();
  }

  get state(): LaneState {
    const { state } = this.#lane;
    return { ...state, waiting: this.#parcels.length + this.#sending.length };
  }

  retryNow(): void {
    this.#lane.retryNow();
  }

  stop(): void {
    this.#stopped = true;
    this.#lane.stop();
  }

  /** The destination is no more: nobody waits for it. What was cut goes to the next one of its name. */
  abandon(): void {
    this.stop();
    for (const item of [...this.#sending, ...this.#parcels.splice(0)]) item.done(true);
    this.#sending = [];
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { store, destination, fail } = this.#options;
    try {
      if (!this.#isLooked) {
        this.#isLooked = true;
        await this.#send(store.pending(destination));
      }
      while (this.#series.size > 0 && !this.#stopped) await this.#cut();
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#running = false;
  }

  async #cut(): Promise<void> {
    const { store, destination } = this.#options;
    this.#sending = this.#parcels.splice(0);
    const cuts = [...this.#series.values()].flatMap(
      (one) => deltaOf(one, store.position(destination, one.id)) ?? [],
    );
    this.#series = new Map();
    if (cuts.length > 0) await store.cut(destination, cuts);
    const points = cuts.map(({ point }) => point);
    if (this.#stopped || !(await this.#send(points))) return;
    for (const item of this.#sending) item.done();
    this.#sending = [];
  }

  /** @returns false when it was stopped before all of them were accepted or refused for good */
  async #send(points: readonly Series[]): Promise<boolean> {
    for (let at = 0; at < points.length; at += pointsMax) {
      const value = points.slice(at, at + pointsMax);
      // A lane that is stopped calls nobody: then this process has nothing more to do here.
      await new Promise<void>((resolve) => this.#lane.add({ value, bytes: 1, done: () => resolve() }));
      if (this.#stopped) return false;
    }
    if (points.length > 0) await this.#options.store.arrived(this.#options.destination);
    return true;
  }

  /** A change is not one record's: dead letters become the records of all messages that it is made of. */
  async #refused(points: readonly Series[], reason: string): Promise<void> {
    const ids = new Set(points.map((point) => point.id));
    for (const { value } of this.#sending)
      if (value.series.some((one) => ids.has(one.id))) await value.refuse([...value.counted], reason);
  }
}
