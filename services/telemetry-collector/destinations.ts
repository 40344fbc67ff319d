import type { RuleKind } from '#shared/protocol/telemetry-pipelines.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { type Chunk, type Signal, bytesIn } from './core/otlp-chunks.ts';
import type { Connection, DestinationPlan } from './core/pipelines.ts';
import type { ReadMessage } from './core/read-message.ts';
import { operationCount, operationDuration } from './core/interpret.ts';
import type { Series } from './core/series.ts';
import { Destination, type Refuse } from './destination.ts';
import { FileSender } from './file-sender.ts';
import type { LaneState } from './lane.ts';
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
  readonly counted: readonly number[];
  /** Shared by all messages of a group. */
  readonly series: readonly Series[];
  /** Lanes that have their part already. */
  readonly sentTo: ReadonlySet<string>;
  /** Stores what a destination refuses for good, by the records' places; resolves once it is stored. */
  readonly refused: (destination: string, places: readonly number[], reason: string) => Promise<void>;
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

// Messages of one group share their series: a request grows by what one of them adds, and that is mostly nothing.
const seriesBytes = 4;

/** All destinations, as the configuration has them now. */
export class Destinations {
  readonly #options: DestinationsOptions;
  #destinations: readonly Destination[] = [];

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
      same.become(plan, (connection) => this.#senderOf(connection));
      return same;
    });
    for (const gone of known.values()) gone.abandon();
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
    const put = (destination: Destination, lane: string, add: (arrived: () => void) => void): void => {
      if (shipment.sentTo.has(lane)) return;
      if (!destination.plan.required) return add(() => undefined);
      waiting += 1;
      add(() => done(lane));
    };
    const refuseFor =
      (destination: Destination): Refuse =>
      async (places, reason) => {
        // Nobody waits for what need not arrive: the lane has counted it.
        if (destination.plan.required) await shipment.refused(destination.name, places, reason);
      };
    for (const { destination, signal, chunks } of cargo.parcels) {
      const value = { chunks, refuse: refuseFor(destination) };
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
    done(undefined);
  }

  /**
   * After a start: what was counted for destinations of deltas and did not get there, whether or not a message that
   * holds it comes again.
   */
  resume(series: readonly Series[]): void {
    const byKind = Map.groupBy(series, ({ name }) => (isOfOperation(name) ? 'performance' : 'metric'));
    for (const destination of this.#destinations.filter(({ plan }) => plan.temporality === 'delta')) {
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
    return new Destination({ ...common, plan, sender: this.#senderOf(plan.connection) });
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
