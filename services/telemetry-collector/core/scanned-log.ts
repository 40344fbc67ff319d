import { decode, json } from '#shared/protocol/encoding.ts';
import type { TelemetryLevel, TelemetryLog } from '#shared/protocol/telemetry-records.ts';
import { type Attributes, attributesOf } from './attribute-values.ts';
import type { LogEntry, Origin } from './interpret.ts';
import type { Shape } from './log-shape.ts';

/** A message whose records were found by their shapes. */
export interface ScannedMessage {
  readonly body: Buffer;
  readonly receivedMs: number;
  readonly origin: Origin | undefined;
  /** Where the values of its records are; undefined from the next message on, since that finds its own in the same memory. */
  found: FoundValues | undefined;
}

export interface FoundValues {
  /** From and to of every value of every record. */
  readonly places: Int32Array;
  /** Of the values that are numbers. */
  readonly numbers: Float64Array;
}

/** Where one record lies in its message, and what is known of it already. */
export interface FoundRecord {
  readonly start: number;
  readonly end: number;
  readonly shape: Shape | undefined;
  /** The place of its first value among those of the message. */
  readonly base: number;
  readonly source: string;
  readonly level: TelemetryLevel;
  /** Undefined where it names no time. */
  readonly timestamp: number | undefined;
}

/** A log record that is still what it came as: it is decoded when somebody asks what is in it, and mostly nobody does. */
export class ScannedLog implements LogEntry {
  readonly message: ScannedMessage;
  readonly shape: Shape;
  readonly base: number;
  readonly source: string;
  readonly level: TelemetryLevel;
  readonly atMs: number;
  readonly #start: number;
  readonly #end: number;
  #decoded: LogEntry | undefined;

  constructor(message: ScannedMessage, found: FoundRecord) {
    if (found.shape === undefined) throw new Error('nothing was found');
    this.message = message;
    this.shape = found.shape;
    this.base = found.base;
    this.source = found.source;
    this.level = found.level;
    this.atMs = found.timestamp ?? message.receivedMs;
    this.#start = found.start;
    this.#end = found.end;
  }

  get kind(): 'log' {
    return 'log';
  }

  get receivedMs(): number {
    return this.message.receivedMs;
  }

  get origin(): Origin | undefined {
    return this.message.origin;
  }

  get body(): string {
    return this.decoded.body;
  }

  get attributes(): Attributes {
    return this.decoded.attributes;
  }

  /** The same as an object of its own. */
  get decoded(): LogEntry {
    return (this.#decoded ??= entryOf(this.undecoded));
  }

  /** The bytes that it came as, with what they do not say. */
  get undecoded(): UndecodedEntry {
    const { kind, source, level, atMs, receivedMs, origin } = this;
    const record = this.message.body.subarray(this.#start, this.#end);
    return { kind, source, level, atMs, receivedMs, origin, record };
  }
}

/** An entry without what is in its record, and that as the JSON that it came as. */
export type UndecodedEntry = Omit<LogEntry, 'body' | 'attributes'> & { readonly record: Uint8Array };

/** An entry as it is kept for queries. */
export type KeptEntry = LogEntry | UndecodedEntry;

export const keptOf = (entry: LogEntry): KeptEntry => (entry instanceof ScannedLog ? entry.undecoded : entry);

export function entryOf(kept: KeptEntry): LogEntry {
  if (!('record' in kept)) return kept;
  const { record, ...own } = kept;
  const decoded = decode(record, json);
  // Its bytes were found to be those of a good record before.
  if (!decoded.ok) throw new Error(`a record that was found is none: ${decoded.error.message}`);
  const { message, attributes } = decoded.value as TelemetryLog;
  return { ...own, body: message, attributes: attributesOf(attributes) };
}
