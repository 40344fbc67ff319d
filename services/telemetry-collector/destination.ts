import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import {
  type Chunk,
  type Signal,
  halvesOf,
  itemsIn,
  placesIn,
  requestOf,
  signals,
} from './core/otlp-chunks.ts';
import type { RuleKind } from '#shared/protocol/telemetry-pipelines.ts';
import type { Connection, DestinationPlan } from './core/pipelines.ts';
import type { Places } from './core/reading.ts';
import type { Series } from './core/series.ts';
import { DeltaLane } from './delta-lane.ts';
import type { DeltaStore } from './delta-table.ts';
import { Lane, type LaneItem, type LaneState } from './lane.ts';
import type { OtlpEncoding } from './otlp-encoding.ts';
import type { Sender } from './sender.ts';

/** Told of the places of records that a destination refuses for good; resolves once that is stored. */
export type Refuse = (places: readonly number[], reason: string) => Promise<void>;

/** Encoded items of one message. */
export interface ItemsParcel {
  readonly chunks: readonly Chunk[];
  readonly refuse: Refuse;
  /** Told of how many of them were not taken in a success. */
  readonly partly: (count: number) => void;
}

/** Totals as one message left them. */
export interface SeriesParcel {
  readonly series: readonly Series[];
  /** Places of the records that count in them. */
  readonly counted: Places;
  readonly refuse: Refuse;
}

export interface DestinationOptions {
  readonly plan: DestinationPlan;
  readonly sender: Sender;
  readonly encoding: OtlpEncoding;
  readonly deltas: DeltaStore;
  readonly fail: (error: Error) => void;
  readonly clock: Clock;
  readonly random01: () => number;
  readonly log: Log;
}

// Requests stay below the 4 MiB that receivers commonly allow.
const messagesMax = 1_000;
const bytesMax = 2 * 1_048_576;
// Messages of one group share their series: what another one adds is mostly nothing.
const seriesMessagesMax = 4_000;

/** The lanes of the totals, by temporality; the others are named by their signal. */
export type LaneName = Signal | 'series' | 'deltas';

/** One place where telemetry goes, with a lane for each signal and two for the totals, which all wait on their own. */
export class Destination {
  readonly #items: ReadonlyMap<Signal, Lane<ItemsParcel>>;
  readonly #series: Lane<SeriesParcel>;
  readonly #deltas: DeltaLane;
  #plan: DestinationPlan;
  #sender: Sender;

  constructor(options: DestinationOptions) {
    const { plan, sender, encoding, deltas, fail, clock, random01, log } = options;
    this.#plan = plan;
    this.#sender = sender;
    const common = (name: LaneName, signal: Signal) => ({
      name: this.laneName(name),
      isRequired: () => this.#plan.required,
      itemsMax: messagesMax,
      bytesMax,
      post: (body: Uint8Array) => this.#sender.send(signal, body),
      clock,
      random01,
      log,
    });
    const items = (signal: Signal) => new Lane<ItemsParcel>({ ...common(signal, signal), ...itemsWays });
    this.#items = new Map(signals.map((signal) => [signal, items(signal)]));
    this.#series = new Lane<SeriesParcel>({ ...common('series', 'metrics'), ...seriesWays(encoding) });
    this.#deltas = new DeltaLane({
      ...common('deltas', 'metrics'),
      destination: plan.name,
      store: deltas,
      encode: (points) => encoding.deltas(points),
      fail,
    });
  }

  get plan(): DestinationPlan {
    return this.#plan;
  }

  get name(): string {
    return this.#plan.name;
  }

  /** By which a lane is known in figures and in what is kept of a message's progress. */
  laneName(lane: LaneName): string {
    return `${this.#plan.name}/${lane}`;
  }

  addItems(signal: Signal, item: LaneItem<ItemsParcel>): void {
    this.#items.get(signal)?.add(item);
  }

  /** The lane that the totals take now. */
  get seriesLane(): LaneName {
    return this.#plan.temporality === 'delta' ? 'deltas' : 'series';
  }

  addSeries(item: LaneItem<SeriesParcel>): void {
    if (this.seriesLane === 'deltas') this.#deltas.add(item);
    else this.#series.add(item);
  }

  /** Those among the totals of a message of this kind that go here. */
  wanted(series: readonly Series[], kind: RuleKind): readonly Series[] {
    const { signals: wantedSignals, wants } = this.#plan;
    if (!wantedSignals.includes('metrics')) return [];
    return wants === undefined
      ? series
      : series.filter(({ source }) => wants({ source, kind, level: undefined }));
  }

  /** Goes on as another: what waits goes to where it is now. */
  become(plan: DestinationPlan, senderOf: (connection: Connection) => Sender): void {
    const isMoved = !isDeepStrictEqual(plan.connection, this.#plan.connection);
    this.#plan = plan;
    if (!isMoved) return;
    this.#sender.close();
    this.#sender = senderOf(plan.connection);
    for (const lane of this.#lanes()) lane.retryNow();
  }

  /** Lanes that have had something to do, and those that it has a use for. */
  get states(): readonly LaneState[] {
    return this.#lanes()
      .map((lane) => lane.state)
      .filter((state) => state.waiting + state.accepted + state.refused + state.dropped > 0);
  }

  stop(): void {
    for (const lane of this.#lanes()) lane.stop();
    this.#sender.close();
  }

  abandon(): void {
    for (const lane of this.#lanes()) lane.abandon();
    this.#sender.close();
  }

  #lanes(): readonly (Lane<ItemsParcel> | Lane<SeriesParcel> | DeltaLane)[] {
    return [...this.#items.values(), this.#series, this.#deltas];
  }
}

const itemsWays = {
  encode: (parcels: readonly ItemsParcel[]) => requestOf(parcels.flatMap((one) => one.chunks)),
  sizeOf: ({ chunks }: ItemsParcel) => itemsIn(chunks),
  partly: ({ partly }: ItemsParcel, count: number) => partly(count),
  halve: ({ chunks, ...told }: ItemsParcel): readonly [ItemsParcel, ItemsParcel] | undefined => {
    const halves = halvesOf(chunks);
    return (
      halves && [
        { chunks: halves[0], ...told },
        { chunks: halves[1], ...told },
      ]
    );
  },
  refused: ({ chunks, refuse }: ItemsParcel, reason: string) => refuse(placesIn(chunks), reason),
};

const seriesWays = (encoding: OtlpEncoding) => ({
  itemsMax: seriesMessagesMax,
  encode: (parcels: readonly SeriesParcel[]) => encoding.totals(parcels.map((one) => one.series)),
  sizeOf: ({ series }: SeriesParcel) => series.length,
  // A total is not one record's: which of them made it unacceptable cannot be told.
  halve: () => undefined,
  refused: ({ counted, refuse }: SeriesParcel, reason: string) => refuse([...counted], reason),
});
