import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { LogEntry, SpanEntry } from './core/interpret.ts';
import type { DeadLetter, KeptRecord } from './core/read-message.ts';
import type { Series } from './core/series.ts';
import { Lane, type LaneItem, type LaneState } from './lane.ts';
import { OtlpEncoding, readPartial } from './otlp-encoding.ts';
import { OtlpSender, type Signal, otlpTarget } from './otlp-http.ts';

/** What one message became, on its way out. */
export interface Shipment {
  readonly bytes: number;
  readonly kept: readonly KeptRecord[];
  readonly series: readonly Series[];
  /** An OTLP request as it came. */
  readonly raw: { readonly signal: Signal; readonly body: Uint8Array } | undefined;
  /** Stores what a destination refuses for good; resolves once it is stored. */
  readonly refused: (letters: readonly DeadLetter[]) => Promise<void>;
  /** An OTLP request as a dead letter. */
  readonly asDeadLetter: (reason: 'refused_by_destination', message: string) => DeadLetter;
  /** Called once every destination has its part. */
  readonly done: () => void;
}

export interface DestinationOptions {
  readonly endpoint: string | undefined;
  readonly instance: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly random01: () => number;
  readonly log: Log;
}

type Outgoing<T> = { readonly entry: T; readonly record: KeptRecord; readonly shipment: Shipment };

// Requests of some thousand items stay below the 4 MiB that receivers commonly allow.
const itemsMax = 4_000;
const bytesMax = 2 * 1_048_576;
// A point of a histogram with its labels, roughly.
const pointBytes = 600;

/** The destinations that must have every record, with one lane for each signal. */
export class Destinations {
  readonly #options: DestinationOptions;
  readonly #metrics: Lane<Shipment> | undefined;
  readonly #logs: Lane<Outgoing<LogEntry>> | undefined;
  readonly #spans: Lane<Outgoing<SpanEntry>> | undefined;
  readonly #raw: { readonly [S in Signal]: Lane<Shipment> | undefined };

  constructor(options: DestinationOptions) {
    this.#options = options;
    const encoding = new OtlpEncoding(options.instance);
    this.#metrics = this.#lane('metrics', 'metrics', {
      encode: (shipments) =>
        encoding.metrics(
          shipments.flatMap((one) => one.series),
          options.clock.nowMs(),
        ),
      refused: (shipment, reason) => shipment.refused(shipment.kept.map((one) => lettered(one, reason))),
    });
    this.#logs = this.#lane('logs', 'logs', {
      encode: (records) => encoding.logs(records.map((one) => one.entry)),
      refused: ({ shipment, record }, reason) => shipment.refused([lettered(record, reason)]),
    });
    this.#spans = this.#lane('spans', 'traces', {
      encode: (records) => encoding.spans(records.map((one) => one.entry)),
      // The record is counted already, in its operation's series: only its span is lost, and the lane counts it.
      refused: async () => undefined,
    });
    this.#raw = {
      metrics: this.#rawLane('metrics'),
      logs: this.#rawLane('logs'),
      traces: this.#rawLane('traces'),
    };
  }

  /** True where something waits for a message of this content. */
  wants(kept: readonly KeptRecord[], raw: Signal | undefined): boolean {
    if (raw !== undefined) return this.#raw[raw] !== undefined;
    return kept.some(
      ({ updates, entry }) =>
        (updates.length > 0 && this.#metrics !== undefined) ||
        (entry !== undefined && this.#laneOf(entry) !== undefined),
    );
  }

  /** Puts everything on its way; `done` is called when all of it has arrived. */
  send(shipment: Shipment): void {
    const entries = shipment.kept.flatMap((record) =>
      record.entry === undefined ? [] : [{ entry: record.entry, record }],
    );
    const bytes = Math.ceil(shipment.bytes / Math.max(1, shipment.kept.length));
    let waiting = 1;
    const done = () => {
      waiting -= 1;
      if (waiting === 0) shipment.done();
    };
    const item = <T>(value: T, itemBytes: number): LaneItem<T> => {
      waiting += 1;
      return { value, bytes: itemBytes, done };
    };
    const { raw, series } = shipment;
    if (raw !== undefined) this.#raw[raw.signal]?.add([item(shipment, raw.body.length)]);
    if (series.length > 0) this.#metrics?.add([item(shipment, series.length * pointBytes)]);
    const logs = entries.flatMap(({ entry, record }) =>
      'kind' in entry ? [{ entry, record, shipment }] : [],
    );
    const spans = entries.flatMap(({ entry, record }) =>
      'kind' in entry ? [] : [{ entry, record, shipment }],
    );
    if (logs.length > 0) this.#logs?.add(logs.map((one) => item(one, bytes)));
    if (spans.length > 0) this.#spans?.add(spans.map((one) => item(one, bytes)));
    done();
  }

  get states(): readonly LaneState[] {
    return this.#lanes().map((lane) => lane.state);
  }

  stop(): void {
    for (const lane of this.#lanes()) lane.stop();
  }

  #lanes() {
    const { metrics, logs, traces } = this.#raw;
    return [this.#metrics, this.#logs, this.#spans, metrics, logs, traces].filter(
      (lane) => lane !== undefined,
    );
  }

  #laneOf(entry: LogEntry | SpanEntry) {
    return 'kind' in entry ? this.#logs : this.#spans;
  }

  #rawLane(signal: Signal): Lane<Shipment> | undefined {
    return this.#lane(`otlp-${signal}`, signal, {
      // As it came, alone: a request that is cut off would swallow the beginning of the next one.
      itemsMax: 1,
      encode: ([first]) => first?.raw?.body ?? new Uint8Array(),
      refused: (shipment, reason) =>
        shipment.refused([shipment.asDeadLetter('refused_by_destination', reason)]),
    });
  }

  #lane<T>(
    name: string,
    signal: Signal,
    ways: {
      readonly itemsMax?: number;
      readonly encode: (values: readonly T[]) => Uint8Array;
      readonly refused: (value: T, reason: string) => Promise<void>;
    },
  ): Lane<T> | undefined {
    const { endpoint, env, clock, random01, log } = this.#options;
    const target = otlpTarget(signal, endpoint, env);
    if (target === undefined) return undefined;
    const sender = new OtlpSender(target, readPartial[signal], clock);
    const post = (body: Uint8Array) => sender.post(body);
    return new Lane<T>({ itemsMax, bytesMax, name, post, clock, random01, log, ...ways });
  }
}

const lettered = (record: KeptRecord, reason: string): DeadLetter =>
  record.asDeadLetter('refused_by_destination', reason);
