import { type Encoding, decode, decodeExactly, encode, json } from '#shared/protocol/encoding.ts';
import { type Result, accept } from '#shared/protocol/errors.ts';
import { countable } from '#shared/protocol/exact-json.ts';
import { telemetryRecordsMax } from '#shared/protocol/limits.ts';
import {
  TelemetryError,
  TelemetryEvent,
  TelemetryLog,
  TelemetryMetric,
  TelemetryPerformance,
  type TelemetryType,
} from '#shared/protocol/telemetry-records.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { CountedKind } from './figures.ts';
import {
  type Interpretation,
  type KindedRecord,
  type LogEntry,
  type MessageContext,
  type Origin,
  interpret,
} from './interpret.ts';
import type { Lesson } from './known-records.ts';
import type { Chunk, Signal } from './otlp-chunks.ts';
import type { Rejection, Series } from './series.ts';

/** Why a record or a message is kept as a dead letter. */
export type DeadReason =
  | 'unknown_kind'
  | 'unknown_content_type'
  | 'undecodable'
  | 'too_many_records'
  | 'invalid_record'
  | 'refused_by_destination'
  | Rejection;

/** What nobody can use: the bytes as they came, or one record of them. */
export interface DeadLetter {
  readonly reason: DeadReason;
  readonly message: string;
  /** Its place in the message; undefined for the message as a whole. */
  readonly index: number | undefined;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/** What a message holds, each record with what it becomes. */
export interface ReadMessage {
  readonly kind: CountedKind;
  readonly kept: readonly KeptRecord[];
  /** Records that were known by their bytes: kept, too, and counted without being decoded. */
  readonly known: KnownBatch;
  readonly dead: readonly DeadLetter[];
  /** Records that a level left out, and others that sampling did. */
  readonly filtered: number;
  readonly sampled: number;
  /** An OTLP request as it came, as far as the rules let it pass. */
  readonly otlp?: { readonly signal: Signal; readonly chunks: readonly Chunk[] };
  /** The first of the records that a rule left out, and by what. */
  readonly filteredExample?: { readonly index: number; readonly by: 'level' | 'sample' } | undefined;
  /** The span that the message came from. */
  readonly origin?: Origin | undefined;
  /**
   * Whether the message's bytes are held. Those of a message whose records were all known are not: nobody asks for them
   * again unless a destination refuses it, and memory that is let go at once costs a fraction of what waits for a
   * commit.
   */
  readonly isBodyHeld: boolean;
  /** The records at these places as dead letters. Decodes the message again: the records themselves are not held. */
  readonly lettersOf: LettersOf;
}

/** @param again the message's bytes, where they are not held */
type LettersOf = (
  places: readonly number[],
  reason: DeadReason,
  message: string,
  again?: Uint8Array,
) => readonly DeadLetter[];

export interface KeptRecord {
  /** Its place in the message. */
  readonly index: number;
  readonly updates: Kept['updates'];
  readonly entry: Kept['entry'];
  /** By which it is known the next time. */
  readonly lesson?: Lesson;
}

/**
 * Records that say what others said, with other numbers and other times. In arrays and not as objects: there are a
 * hundred in a message, and they wait for the commit.
 */
export class KnownBatch {
  length = 0;
  /** The series that each counts in: its number in the first, one in the second, where there is a second. */
  readonly series: (readonly Series[])[] = [];
  /** Each one's number and time, one behind the other: one piece of memory for both. */
  readonly #figures: Float64Array;
  #places = inOrder;

  constructor(lengthMax: number) {
    this.#figures = new Float64Array(lengthMax * 2);
  }

  /** Each one's place in the message, and further numbers behind them. */
  get places(): Int32Array {
    return this.#places;
  }

  valueAt(at: number): number {
    return this.#figures[at * 2] ?? 0;
  }

  timeAt(at: number): number {
    return this.#figures[at * 2 + 1] ?? 0;
  }

  add(place: number, series: readonly Series[], value: number, atMs: number): void {
    const at = this.length;
    this.series.push(series);
    this.#figures[at * 2] = value;
    this.#figures[at * 2 + 1] = atMs;
    this.length = at + 1;
    // Mostly all records of a message are known, and their places are one after the other.
    if (place === at && this.#places === inOrder) return;
    if (this.#places === inOrder) this.#places = inOrder.slice(0, this.#figures.length / 2);
    this.#places[at] = place;
  }
}

/** Shared by all messages whose records are all known; never written. */
const inOrder = Int32Array.from({ length: telemetryRecordsMax }, (_, place) => place);

/** Of records in their message. */
export type Places = readonly number[] | Int32Array;

export const noneKnown = new KnownBatch(0);

/** A message that is of no use as a whole: all of it is one dead letter. */
export const unreadable = (kind: CountedKind, letter: DeadLetter): ReadMessage => ({
  kind,
  kept: [],
  known: noneKnown,
  dead: [letter],
  filtered: 0,
  sampled: 0,
  isBodyHeld: true,
  lettersOf: () => [letter],
});

type Kept = Extract<Interpretation, { kind: 'kept' }>;

export interface DecodedMessage {
  readonly kind: TelemetryType;
  readonly records: readonly unknown[];
  readonly encoding: Encoding;
  readonly body: Uint8Array;
}

/**
 * Decodes records. What is passed on of them keeps every digit; what is counted, judged or compared is a number as
 * JavaScript reads it.
 */
export function decodeRecords(kind: TelemetryType, body: Uint8Array, encoding: Encoding): Result<unknown> {
  if (encoding !== json || kind === 'metric' || kind === 'performance') return decode(body, encoding);
  const decoded = decodeExactly(body, encoding);
  return decoded.ok ? accept(countable(decoded.value, 'attributes')) : decoded;
}

/** What the records of one message come to, one after the other. */
export class Reading {
  readonly #message: Omit<DecodedMessage, 'records'>;
  readonly #kept: KeptRecord[] = [];
  readonly #dead: DeadLetter[] = [];
  #filtered = 0;
  #sampled = 0;
  #filteredExample: ReadMessage['filteredExample'];

  constructor(kind: TelemetryType, encoding: Encoding, body: Uint8Array) {
    this.#message = { kind, encoding, body };
  }

  /** @returns whether it is kept */
  take(record: unknown, index: number, context: MessageContext, lesson?: Lesson): boolean {
    const { kind, encoding } = this.#message;
    const checked = check[kind](record);
    const meaning: Interpretation = checked.ok
      ? interpret(checked.value, index, context)
      : { kind: 'rejected', reason: 'invalid_record', message: checked.error.message };
    if (meaning.kind === 'kept') {
      const { updates, entry } = meaning;
      this.#kept.push({ index, updates, entry, ...(lesson === undefined ? {} : { lesson }) });
    } else if (meaning.kind === 'filtered') this.leaveOut(index, meaning.by);
    else this.#dead.push(letter({ record, index, encoding }, meaning.reason, meaning.message));
    return meaning.kind === 'kept';
  }

  /** A record that counts in no series. */
  keep(index: number, entry: LogEntry): void {
    this.#kept.push({ index, updates: noUpdates, entry });
  }

  leaveOut(index: number, by: 'level' | 'sample'): void {
    if (by === 'level') this.#filtered += 1;
    else this.#sampled += 1;
    this.#filteredExample ??= { index, by };
  }

  result(known = noneKnown): ReadMessage {
    const { kind, encoding, body } = this.#message;
    const others = this.#kept.length + this.#dead.length + this.#filtered + this.#sampled;
    const isBodyHeld = others > 0 || known.length === 0;
    return {
      kind,
      kept: this.#kept,
      known,
      dead: this.#dead,
      filtered: this.#filtered,
      sampled: this.#sampled,
      filteredExample: this.#filteredExample,
      isBodyHeld,
      lettersOf: lettersFrom(kind, isBodyHeld ? body : new Uint8Array(), encoding),
    };
  }
}

/** Of its own, so that it holds nothing but these. */
const lettersFrom =
  (kind: TelemetryType, held: Uint8Array, encoding: Encoding): LettersOf =>
  (places, reason, message, again = held) => {
    const records = recordsIn(decodeRecords(kind, again, encoding));
    return places.map((index) => letter({ record: records[index], index, encoding }, reason, message));
  };

const noUpdates: KeptRecord['updates'] = [];

/** The records of a message, one or many. */
export const recordsIn = (decoded: Result<unknown>): readonly unknown[] => {
  if (!decoded.ok) return [];
  return Array.isArray(decoded.value) ? decoded.value : [decoded.value];
};

const letter = (
  one: { readonly record: unknown; readonly index: number; readonly encoding: Encoding },
  reason: DeadReason,
  message: string,
): DeadLetter => ({
  reason,
  message,
  index: one.index,
  contentType: one.encoding,
  body: encode(one.record ?? null, one.encoding),
});

const validMetric = validator(TelemetryMetric);
const validEvent = validator(TelemetryEvent);
const validPerformance = validator(TelemetryPerformance);
const validError = validator(TelemetryError);
const validLog = validator(TelemetryLog);

/** Each kind's validator, with the kind beside the record that passed. */
const check: Readonly<Record<TelemetryType, (record: unknown) => Result<KindedRecord>>> = {
  metric: (given) => kinded('metric', validMetric(given)),
  event: (given) => kinded('event', validEvent(given)),
  performance: (given) => kinded('performance', validPerformance(given)),
  error: (given) => kinded('error', validError(given)),
  log: (given) => kinded('log', validLog(given)),
};

const kinded = <Kind extends TelemetryType>(
  kind: Kind,
  checked: Result<Extract<KindedRecord, { kind: Kind }>['record']>,
): Result<KindedRecord> =>
  checked.ok ? { ok: true, value: { kind, record: checked.value } as KindedRecord } : checked;
