import type { RuleKind } from '#shared/protocol/telemetry-pipelines.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import type { Reached } from './core/destination-accounts.ts';
import { type Chunk, type Signal, bytesIn, itemsIn, placesIn } from './core/otlp-chunks.ts';
import type { Connection, DestinationPlan } from './core/pipelines.ts';
import type { KeptRecord, Places, ReadMessage } from './core/reading.ts';
import { operationCount, operationDuration } from './core/interpret.ts';
import type { Series } from './core/series.ts';
import { Destination, type Refuse } from './destination.ts';
import { FileSender } from './file-sender.ts';
import type { LaneItem, LaneState } from './lane.ts';
import { NatsSender } from './nats-sender.ts';
import type { DeltaStore } from './delta-table.ts';
import type { OtlpEncoding } from './otlp-encoding.ts';
import { OtlpGrpcSender } from './otlp-grpc.ts';
import { OtlpHttpSender } from './otlp-http.ts';
import { Loading } from './loading.ts';
import type { Sender } from './sender.ts';

/** What one message holds for one destination, encoded. */
export interface Parcel {
  readonly destination: Destination;
  readonly signal: Signal;
  readonly chunks: readonly Chunk[];
}

/** What one message holds for all of them. */
export interface Cargo {
  readonly parcels: readonly Parcel[];
  /** True where it changes totals, and somebody wants them. */
  readonly counts: boolean;
}

/** What one message became, on its way out. */
export interface Shipment {
  readonly kind: RuleKind;
  readonly cargo: Cargo;
  /** Places of the records that count in `series`. */
  readonly counted: Places;
  /** Shared by all messages of a group. */
  readonly series: readonly Series[];
  /** Destinations by which it is accounted for as on its way. One that it does not go to any more never gets it. */
  readonly expectedBy: readonly string[];
  /** Lanes that have their part already. */
  readonly sentTo: ReadonlySet<string>;
  /** Stores what a destination refuses for good, by the records' places; resolves once it is stored. */
  readonly refused: (destination: string, places: readonly number[], reason: string) => Promise<void>;
  /** Called once for each destination that gets something of it, when all of that is over. */
  readonly reached: (ended: Omit<Reached, 'sequence'>) => void;
  /** Called when a lane has its part and others have not. */
  readonly progress: (lane: string) => void;
  /** Called once every destination that must have its part has it. */
  readonly done: () => void;
}

export interface DestinationsOptions {
  readonly encoding: OtlpEncoding;
  readonly deltas: DeltaStore;
  /** Ends the process: how far a destination is could not be written down. */
  readonly fail: (error: Error) => void;
  readonly nats: Nats;
  readonly clock: Clock;
  readonly random01: () => number;
  readonly log: Log;
}

/** What one message has on its way to one destination. */
interface Way {
  /** Lanes, and one for the call that puts it on its way. */
  waiting: number;
  readonly places: Set<number>;
  partly: number;
  isDropped: boolean;
}

// Messages of one group share their series: a request grows by what one of them adds, and that is mostly nothing.
const seriesBytes = 4;

/** All destinations, as the configuration has them now. */
export class Destinations {
  readonly #options: DestinationsOptions;
  #destinations: readonly Destination[] = [];
  /** Those of deltas that have not got yet what was counted before they were here. */
  readonly #begun = new Set<Destination>();

  constructor(options: DestinationsOptions) {
    this.#options = options;
  }

  /**
   * Goes on with these. What waits for a destination of the same name goes to where it is now; what waits for one
   * that is no more is counted as dropped, and nobody waits for it.
   */
  apply(plans: readonly DestinationPlan[]): void {
    const known = new Map(this.#destinations.map((one) => [one.name, one]));
    this.#destinations = plans.map((plan) => {
      const same = known.get(plan.name);
      known.delete(plan.name);
      if (same === undefined) return this.#open(plan);
      if (plan.temporality !== same.plan.temporality) this.#begun.add(same);
      same.become(plan, (connection) => this.#senderOf(connection));
      return same;
    });
    for (const gone of known.values()) {
      this.#begun.delete(gone);
      gone.abandon();
    }
  }

  /** What a message holds for each destination; undefined where none wants anything of it. */
  load(read: ReadMessage): Cargo | undefined {
    const loading = new Loading(read, this.#options.encoding);
    const parcels = this.#destinations.flatMap((destination) =>
      loading.parcels(destination.plan).map(({ signal, chunks }) => ({ destination, signal, chunks })),
    );
    const counts = loading.counts && this.#destinations.some(({ plan }) => plan.signals.includes('metrics'));
    return parcels.length === 0 && !counts ? undefined : { parcels, counts };
  }

  /** How many records of a message each destination gets: those that it has items of, and those it counts. */
  wanted(
    read: ReadMessage,
    cargo: Cargo | undefined,
    kept: readonly KeptRecord[],
  ): ReadonlyMap<string, number> {
    const wanted = new Map<string, number>();
    for (const destination of this.#destinations) {
      const parcels = cargo?.parcels.filter((one) => one.destination === destination) ?? [];
      wanted.set(destination.name, recordsFor(destination.plan, read, parcels, kept));
    }
    return wanted;
  }

  /** Puts everything on its way; `done` is called when all has arrived that must. */
  send(shipment: Shipment): void {
    const { cargo, series } = shipment;
    // One for this call, so that the first lane to finish does not end it before the last one has begun.
    let waiting = 1;
    const done = (lane: string | undefined) => {
      waiting -= 1;
      if (waiting === 0) shipment.done();
      else if (lane !== undefined) shipment.progress(lane);
    };
    const ways = new Map<Destination, Way>();
    const wayTo = (destination: Destination): Way => {
      const known = ways.get(destination);
      if (known !== undefined) return known;
      const made = { waiting: 1, places: new Set<number>(), partly: 0, isDropped: false };
      ways.set(destination, made);
      return made;
    };
    const put = (destination: Destination, lane: string, add: (arrived: LaneItem<never>['done']) => void) => {
      const way = wayTo(destination);
      if (shipment.sentTo.has(lane)) return;
      const { required } = destination.plan;
      way.waiting += 1;
      if (required) waiting += 1;
      add((isDropped = false) => {
        way.isDropped ||= isDropped;
        ended(destination, way);
        if (required) done(lane);
      });
    };
    const ended = ({ name }: Destination, way: Way): void => {
      way.waiting -= 1;
      if (way.waiting > 0) return;
      const { places, partly, isDropped } = way;
      shipment.reached({ destination: name, rejected: places.size + partly, isDropped });
    };
    const refuseFor =
      (destination: Destination): Refuse =>
      async (places, reason) => {
        for (const place of places) wayTo(destination).places.add(place);
        // Nobody waits for what need not arrive: it is counted, and no dead letter.
        if (destination.plan.required) await shipment.refused(destination.name, places, reason);
      };
    for (const { destination, signal, chunks } of cargo.parcels) {
      const partly = (count: number) => (wayTo(destination).partly += count);
      const value = { chunks, refuse: refuseFor(destination), partly };
      put(destination, destination.laneName(signal), (arrived) =>
        destination.addItems(signal, { value, bytes: bytesIn(chunks), done: arrived }),
      );
    }
    for (const destination of cargo.counts ? this.#destinations : []) {
      const wanted = destination.wanted(series, shipment.kind);
      if (wanted.length === 0) continue;
      const value = { series: wanted, counted: shipment.counted, refuse: refuseFor(destination) };
      put(destination, destination.laneName(destination.seriesLane), (arrived) =>
        destination.addSeries({ value, bytes: wanted.length * seriesBytes, done: arrived }),
      );
    }
    for (const [destination, way] of ways) ended(destination, way);
    const names = new Set([...ways.keys()].map(({ name }) => name));
    for (const destination of shipment.expectedBy)
      if (!names.has(destination)) shipment.reached({ destination, rejected: 0, isDropped: true });
    done(undefined);
  }

  /**
   * After a start, and after each `apply`: what was counted for destinations of deltas that have come, and did not get
   * there, whether or not a message that holds it comes again.
   */
  resume(series: readonly Series[]): void {
    const begun = [...this.#begun].filter(({ plan }) => plan.temporality === 'delta');
    this.#begun.clear();
    const byKind = Map.groupBy(series, ({ name }) => (isOfOperation(name) ? 'performance' : 'metric'));
    for (const destination of begun) {
      const wanted = [...byKind].flatMap(([kind, own]) => destination.wanted(own, kind));
      if (wanted.length === 0) continue;
      const value = { series: wanted, counted: [], refuse: () => Promise.resolve() };
      destination.addSeries({ value, bytes: wanted.length * seriesBytes, done: () => undefined });
    }
  }

  get plans(): readonly DestinationPlan[] {
    return this.#destinations.map((one) => one.plan);
  }

  get states(): readonly LaneState[] {
    return this.#destinations.flatMap((one) => one.states);
  }

  stop(): void {
    for (const one of this.#destinations) one.stop();
  }

  #open(plan: DestinationPlan): Destination {
    const { nats: _nats, ...common } = this.#options;
    const opened = new Destination({ ...common, plan, sender: this.#senderOf(plan.connection) });
    this.#begun.add(opened);
    return opened;
  }

  #senderOf(connection: Connection): Sender {
    const { clock, nats } = this.#options;
    switch (connection.type) {
      case 'otlp-http':
        return new OtlpHttpSender(connection, clock);
      case 'otlp-grpc':
        return new OtlpGrpcSender(connection, clock);
      case 'nats':
        return new NatsSender(connection, nats);
      case 'file':
        return new FileSender(connection);
    }
  }
}

const isOfOperation = (name: string): boolean => name === operationCount || name === operationDuration;

/** How many records of a message a destination gets: those that it has items of, and those it counts. */
function recordsFor(
  plan: DestinationPlan,
  read: ReadMessage,
  parcels: readonly Parcel[],
  kept: readonly KeptRecord[],
): number {
  const isCounted = countedBy(plan, read);
  const [first] = parcels;
  const counts = countOf(read, kept, isCounted);
  if (first === undefined) return counts;
  const isWhole = read.otlp !== undefined || kept.length === read.kept.length;
  // Nearly always a message has items of one signal, or counts: then no record is in two of these.
  if (parcels.length === 1 && counts === 0 && isWhole) return itemsIn(first.chunks);
  const found = new Set(read.otlp === undefined ? kept.map(({ index }) => index) : []);
  const places = new Set<number>();
  for (const { index, updates } of kept) if (isCounted(updates[0])) places.add(index);
  for (const [at, series] of read.known.series.entries())
    if (isCounted(series[0])) places.add(read.known.places[at] ?? 0);
  for (const { chunks } of parcels)
    for (const place of placesIn(chunks)) if (read.otlp !== undefined || found.has(place)) places.add(place);
  return places.size;
}

type Counted = { readonly source: string } | undefined;

/** Records whose series a destination gets. */
function countOf(
  { known }: ReadMessage,
  kept: readonly KeptRecord[],
  isCounted: (first: Counted) => boolean,
): number {
  let count = 0;
  for (const { updates } of kept) if (isCounted(updates[0])) count += 1;
  for (const series of known.series) if (isCounted(series[0])) count += 1;
  return count;
}

/** Whether a destination gets a record's series, by the first of them. */
function countedBy({ signals, wants }: DestinationPlan, { kind }: ReadMessage): (first: Counted) => boolean {
  if (!signals.includes('metrics') || kind === 'other') return () => false;
  return (first) =>
    first !== undefined && (wants === undefined || wants({ source: first.source, kind, level: undefined }));
}
