import type { LogEntry, SpanEntry } from './core/interpret.ts';
import { type Chunk, type Signal, chosen } from './core/otlp-chunks.ts';
import { levelOf, sourceOf } from './core/otlp-items.ts';
import type { DestinationPlan } from './core/pipelines.ts';
import type { ReadMessage } from './core/reading.ts';
import type { OtlpEncoding } from './otlp-encoding.ts';

export interface Load {
  readonly signal: Signal;
  readonly chunks: readonly Chunk[];
}

interface Placed<T> {
  readonly index: number;
  readonly entry: T;
}

const everything = () => true;

/** Encodes what a message holds: once for all destinations that get all of it, and once for each that does not. */
export class Loading {
  readonly #read: ReadMessage;
  readonly #encoding: OtlpEncoding;
  readonly #logs: Placed<LogEntry>[] = [];
  readonly #spans: Placed<SpanEntry>[] = [];
  #whole: readonly Load[] | undefined;
  /** True where the message changes totals. */
  readonly counts: boolean;

  constructor(read: ReadMessage, encoding: OtlpEncoding) {
    this.#read = read;
    this.#encoding = encoding;
    let counts = read.known.length > 0;
    for (const record of read.kept) {
      if (record.updates.length > 0) counts = true;
      if (record.entry === undefined) continue;
      // With an entry of the one kind or the other, which the types of a record do not say.
      if ('kind' in record.entry) this.#logs.push(record as Placed<LogEntry>);
      else this.#spans.push(record as Placed<SpanEntry>);
    }
    this.counts = counts;
  }

  parcels({ wants, signals }: DestinationPlan): readonly Load[] {
    const loads = wants === undefined ? (this.#whole ??= this.#encode(everything)) : this.#encode(wants);
    return loads.filter((load) => signals.includes(load.signal));
  }

  #encode(wants: NonNullable<DestinationPlan['wants']>): readonly Load[] {
    const { kind, otlp } = this.#read;
    const loads: Load[] = [];
    const add = (signal: Signal, chunks: readonly Chunk[]): void => {
      if (chunks.length > 0) loads.push({ signal, chunks });
    };
    if (otlp !== undefined) {
      const { signal, chunks } = otlp;
      add(
        signal,
        wants === everything
          ? chunks
          : chosen(chunks, (_place, chunk, index) =>
              wants({ kind: 'otlp', source: sourceOf(chunk), level: levelOf(signal, chunk, index) }),
            ),
      );
    }
    const logs = wants === everything ? this.#logs : this.#logs.filter(({ entry }) => wants(entry));
    if (logs.length > 0) add('logs', this.#encoding.logs(logs));
    if (kind !== 'performance') return loads;
    const spans = this.#spans.filter(({ entry: { source } }) => wants({ source, kind, level: undefined }));
    if (spans.length > 0) add('traces', this.#encoding.spans(spans));
    return loads;
  }
}
