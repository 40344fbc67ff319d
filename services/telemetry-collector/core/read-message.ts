import { isTooDeep, tooDeep } from '#shared/protocol/nesting.ts';
import { type Encoding, decode, encode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { nestingMax, telemetryRecordsMax } from '#shared/protocol/limits.ts';
import {
  TelemetryError,
  TelemetryEvent,
  TelemetryLog,
  TelemetryMetric,
  TelemetryPerformance,
  type TelemetryType,
  isTelemetryKind,
} from '#shared/protocol/telemetry-records.ts';
import type { Result } from '#shared/protocol/errors.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { CountedKind } from './figures.ts';
import {
  type Interpretation,
  type KindedRecord,
  type MessageContext,
  type Origin,
  interpret,
} from './interpret.ts';
import { KnownRecords, type Lesson } from './known-records.ts';
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
  readonly known: readonly KnownRecord[];
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
  /** The records at these places as dead letters. Decodes the message again: the records themselves are not held. */
  readonly lettersOf: (
    places: readonly number[],
    reason: DeadReason,
    message: string,
  ) => readonly DeadLetter[];
}

export interface KeptRecord {
  /** Its place in the message. */
  readonly index: number;
  readonly updates: Kept['updates'];
  readonly entry: Kept['entry'];
  /** By which it is known the next time. */
  readonly lesson?: Lesson;
}

/** A record that says what another one said, with another number and another time. */
export interface KnownRecord {
  readonly index: number;
  /** The series that it counts in: its number in the first, one in the second, where there is a second. */
  readonly series: readonly Series[];
  readonly value: number;
  readonly atMs: number;
}

/** By kind: what records have come to before. Only kinds that are mere numbers have it. */
export type Known = Partial<Record<TelemetryType, KnownRecords<readonly Series[]>>>;

export const nothingKnown = (): Known => ({
  metric: new KnownRecords('value', telemetryRecordsMax),
  performance: new KnownRecords('durationMs', telemetryRecordsMax),
});

type Kept = Extract<Interpretation, { kind: 'kept' }>;

export interface MessageBody {
  /** The last token of its subject. */
  readonly kind: string;
  readonly contentType: string | undefined;
  readonly body: Uint8Array;
}

/** Decodes, checks and interprets one message. A fault in one record leaves its neighbours alone; never throws. */
export function readMessage(message: MessageBody, context: MessageContext, known?: Known): ReadMessage {
  const { kind } = message;
  if (!isTelemetryKind(kind))
    return unreadable('other', message, 'unknown_kind', `${kind} is no kind of record`);
  const encoding = encodingOf(message.contentType);
  if (encoding === undefined) {
    return unreadable(
      kind,
      message,
      'unknown_content_type',
      `Content-Type ${message.contentType} is not spoken here`,
    );
  }
  if (encoding === json && message.body.length > 0) {
    const read = readKnown(kind, message.body, context, known?.[kind]);
    if (read !== undefined) return read;
  }
  const decoded = decode(message.body, encoding);
  if (!decoded.ok) return unreadable(kind, message, 'undecodable', decoded.error.message);
  // A record that is nested too deeply can be read but not written again, into the dead letters neither.
  if (isTooDeep(decoded.value))
    return unreadable(kind, message, 'undecodable', tooDeep('body').error.message);
  const records = recordsIn(decoded);
  if (records.length > telemetryRecordsMax) {
    const problem = `${records.length} records are more than ${telemetryRecordsMax}`;
    return unreadable(kind, message, 'too_many_records', problem);
  }
  return readRecords({ kind, records, encoding, body: message.body }, context);
}

/** The whole message as one dead letter. */
function unreadable(
  kind: CountedKind,
  message: MessageBody,
  reason: DeadReason,
  problem: string,
): ReadMessage {
  const letter: DeadLetter = {
    reason,
    message: problem,
    index: undefined,
    contentType: message.contentType ?? json,
    body: message.body,
  };
  return { kind, kept: [], known: [], dead: [letter], filtered: 0, sampled: 0, lettersOf: () => [letter] };
}

interface DecodedMessage {
  readonly kind: TelemetryType;
  readonly records: readonly unknown[];
  readonly encoding: Encoding;
  readonly body: Uint8Array;
}

function readRecords(decoded: DecodedMessage, context: MessageContext): ReadMessage {
  const { kind, records, encoding, body } = decoded;
  const reading = new Reading(kind, encoding, body);
  for (const [index, record] of records.entries()) reading.take(record, index, context);
  return { ...reading.result([]), origin: context.origin };
}

/**
 * Reads a message whose records are mostly known. What is not is decoded alone, which is the same as decoding all:
 * the scanner has seen to what stands between the records.
 * @returns undefined where the message as a whole must be decoded: it is of another shape, or broken
 */
function readKnown(
  kind: TelemetryType,
  body: Uint8Array,
  context: MessageContext,
  records: KnownRecords<readonly Series[]> | undefined,
): ReadMessage | undefined {
  // In a trace a performance record is a span, too, and that is one record's own.
  if (records === undefined || (kind === 'performance' && context.origin !== undefined)) return undefined;
  const { scanner } = records;
  if (!scanner.scan(body)) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const reading = new Reading(kind, json, body);
  const known: KnownRecord[] = [];
  for (let index = 0; index < scanner.count; index += 1) {
    const series = records.find(view, index);
    const value = scanner.values[index] ?? 0;
    const time = scanner.times[index] ?? 0;
    if (series !== undefined && !(value < 0 && mustNotBeNegative(series))) {
      known.push({ index, series, value, atMs: time < 0 ? context.receivedMs : time });
      continue;
    }
    const decoded = decode(body.subarray(scanner.starts[index], scanner.ends[index]), json);
    // One level less: the array around it counts, too.
    if (!decoded.ok || isTooDeep(decoded.value, nestingMax - 1)) return undefined;
    reading.take(decoded.value, index, context, records.lesson(body, index));
  }
  return { ...reading.result(known), origin: context.origin };
}

/** A counter, or a duration (which counts in two series). */
const mustNotBeNegative = (series: readonly Series[]): boolean =>
  series.length > 1 || series[0]?.type === 'counter';

/** What the records of one message come to, one after the other. */
class Reading {
  readonly #message: Omit<DecodedMessage, 'records'>;
  readonly #kept: KeptRecord[] = [];
  readonly #dead: DeadLetter[] = [];
  #filtered = 0;
  #sampled = 0;
  #filteredExample: ReadMessage['filteredExample'];

  constructor(kind: TelemetryType, encoding: Encoding, body: Uint8Array) {
    this.#message = { kind, encoding, body };
  }

  take(record: unknown, index: number, context: MessageContext, lesson?: Lesson): void {
    const { kind, encoding } = this.#message;
    const checked = check[kind](record);
    const meaning: Interpretation = checked.ok
      ? interpret(checked.value, index, context)
      : { kind: 'rejected', reason: 'invalid_record', message: checked.error.message };
    if (meaning.kind === 'kept') {
      const { updates, entry } = meaning;
      this.#kept.push({ index, updates, entry, ...(lesson === undefined ? {} : { lesson }) });
    } else if (meaning.kind === 'filtered') {
      if (meaning.by === 'level') this.#filtered += 1;
      else this.#sampled += 1;
      this.#filteredExample ??= { index, by: meaning.by };
    } else this.#dead.push(letter({ record, index, encoding }, meaning.reason, meaning.message));
  }

  result(known: readonly KnownRecord[]): ReadMessage {
    const { kind, encoding, body } = this.#message;
    return {
      kind,
      kept: this.#kept,
      known,
      dead: this.#dead,
      filtered: this.#filtered,
      sampled: this.#sampled,
      filteredExample: this.#filteredExample,
      lettersOf: (places, reason, message) => {
        const again = recordsIn(decode(body, encoding));
        return places.map((index) => letter({ record: again[index], index, encoding }, reason, message));
      },
    };
  }
}

const recordsIn = (decoded: Result<unknown>): readonly unknown[] => {
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
