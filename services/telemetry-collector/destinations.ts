import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { LogEntry, SpanEntry } from './core/interpret.ts';
import type { KeptRecord, ReadMessage } from './core/read-message.ts';
import type { Series } from './core/series.ts';
import { Lane, type LaneOptions, type LaneState } from './lane.ts';
import { OtlpEncoding, readPartial } from './otlp-encoding.ts';
import { OtlpSender, type Signal, otlpTarget } from './otlp-http.ts';

/** What one message became, on its way out. */
export interface Shipment {
  readonly bytes: number;
  readonly kept: readonly KeptRecord[];
  /** Places of the records that count in `series`. */
  readonly counted: readonly number[];
  /** Shared by all messages of a group. */
  readonly series: readonly Series[];
  /** An OTLP request as it came. */
  readonly raw: { readonly signal: Signal; readonly body: Uint8Array } | undefined;
  /** Stores what a destination refuses for good, by the records' places; resolves once it is stored. */
  readonly refused: (places: readonly number[], reason: string) => Promise<void>;
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

/** Entries of one message that go the same way. */
interface Entries<T> {
  readonly shipment: Shipment;
  readonly entries: readonly Placed<T>[];
}

interface Placed<T> {
  readonly index: number;
  readonly entry: T;
}

type Ways<T> = Pick<LaneOptions<T>, 'encode' | 'halve' | 'sizeOf' | 'refused'> & {
  readonly itemsMax?: number;
};

// Requests stay below the 4 MiB that receivers commonly allow.
const itemsMax = 1_000;
const bytesMax = 2 * 1_048_576;
// Messages of one group share their series: a request grows by what one of them adds, and that is mostly nothing.
const metricItemsMax = 4_000;
const seriesBytes = 4;

/** The destinations that must have every record, with one lane for each signal. */
export class Destinations {
  readonly #options: DestinationOptions;
  readonly #metrics: Lane<Shipment> | undefined;
  readonly #logs: Lane<Entries<LogEntry>> | undefined;
  readonly #spans: Lane<Entries<SpanEntry>> | undefined;
  readonly #raw: { readonly [S in Signal]: Lane<Shipment> | undefined };

  constructor(options: DestinationOptions) {
    this.#options = options;
    const encoding = new OtlpEncoding(options.instance);
    this.#metrics = this.#lane('metrics', 'metrics', metricsWays(encoding));
    this.#logs = this.#lane(
      'logs',
      'logs',
      entryWays((entries) => encoding.logs(entries), refuseRecords),
    );
    this.#spans = this.#lane(
      'spans',
      'traces',
      // The record is counted already, in its operation's series: only its span is lost, and the lane counts that.
      entryWays(
        (entries) => encoding.spans(entries),
        async () => undefined,
      ),
    );
    const raw = (signal: Signal) => this.#lane(`otlp-${signal}`, signal, rawWays);
    this.#raw = { metrics: raw('metrics'), logs: raw('logs'), traces: raw('traces') };
  }

  /** True where something waits for a message of this content. */
  wants({ kept, known }: Pick<ReadMessage, 'kept' | 'known'>, raw: Signal | undefined): boolean {
    if (raw !== undefined) return this.#raw[raw] !== undefined;
    if (known.length > 0 && this.#metrics !== undefined) return true;
    return kept.some(({ updates, entry }) => {
      if (updates.length > 0 && this.#metrics !== undefined) return true;
      return entry !== undefined && ('kind' in entry ? this.#logs : this.#spans) !== undefined;
    });
  }

  /** Puts everything on its way; `done` is called when all of it has arrived. */
  send(shipment: Shipment): void {
    const { raw, series, bytes } = shipment;
    // One for this call, so that the first lane to finish does not end it before the last one has begun.
    let waiting = 1;
    const done = () => {
      waiting -= 1;
      if (waiting === 0) shipment.done();
    };
    const put = <T>(lane: Lane<T> | undefined, value: T, itemBytes: number): void => {
      if (lane === undefined) return;
      waiting += 1;
      lane.add({ value, bytes: itemBytes, done });
    };
    if (raw !== undefined) put(this.#raw[raw.signal], shipment, raw.body.length);
    if (series.length > 0) put(this.#metrics, shipment, series.length * seriesBytes);
    const logs: Placed<LogEntry>[] = [];
    const spans: Placed<SpanEntry>[] = [];
    for (const { index, entry } of shipment.kept) {
      if (entry === undefined) continue;
      if ('kind' in entry) logs.push({ index, entry });
      else spans.push({ index, entry });
    }
    if (logs.length > 0) put(this.#logs, { shipment, entries: logs }, bytes);
    if (spans.length > 0) put(this.#spans, { shipment, entries: spans }, bytes);
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

  #lane<T>(name: string, signal: Signal, ways: Ways<T>): Lane<T> | undefined {
    const { endpoint, env, clock, random01, log } = this.#options;
    const target = otlpTarget(signal, endpoint, env);
    if (target === undefined) return undefined;
    const sender = new OtlpSender(target, readPartial[signal], clock);
    const post = (body: Uint8Array) => sender.post(body);
    return new Lane<T>({ itemsMax, bytesMax, name, post, clock, random01, log, ...ways });
  }
}

const metricsWays = (encoding: OtlpEncoding): Ways<Shipment> => ({
  itemsMax: metricItemsMax,
  encode: (shipments) => encoding.metrics(shipments.map((one) => one.series)),
  sizeOf: (shipment) => shipment.series.length,
  // A total is not one record's: which of them made it unacceptable cannot be told.
  halve: () => undefined,
  refused: (shipment, reason) => shipment.refused(shipment.counted, reason),
});

const rawWays: Ways<Shipment> = {
  // As it came, alone: a request that is cut off would swallow the beginning of the next one.
  itemsMax: 1,
  encode: ([first]) => first?.raw?.body ?? new Uint8Array(),
  sizeOf: () => 1,
  halve: () => undefined,
  refused: (shipment, reason) => shipment.refused([0], reason),
};

const entryWays = <T>(
  encode: (entries: readonly T[]) => Uint8Array,
  refused: (value: Entries<T>, reason: string) => Promise<void>,
): Ways<Entries<T>> => ({
  encode: (values) => encode(values.flatMap((one) => one.entries.map((placed) => placed.entry))),
  sizeOf: (value) => value.entries.length,
  halve: ({ shipment, entries }) => {
    if (entries.length < 2) return undefined;
    const middle = entries.length >>> 1;
    return [
      { shipment, entries: entries.slice(0, middle) },
      { shipment, entries: entries.slice(middle) },
    ];
  },
  refused,
});

const refuseRecords = <T>({ shipment, entries }: Entries<T>, reason: string): Promise<void> =>
  shipment.refused(placesOf(entries), reason);

const placesOf = (placed: readonly { readonly index: number }[]): readonly number[] =>
  placed.map((one) => one.index);
