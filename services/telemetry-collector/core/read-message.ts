import { isTooDeep, tooDeep } from '#shared/protocol/nesting.ts';
import { type Encoding, decode, encode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { telemetryRecordsMax } from '#shared/protocol/limits.ts';
import {
  TelemetryError,
  TelemetryEvent,
  TelemetryLog,
  TelemetryMetric,
  TelemetryPerformance,
  type TelemetryType,
  isTelemetryKind,
} from '#shared/protocol/telemetry-schemas.ts';
import type { Result } from '#shared/protocol/errors.ts';
import { validator } from '#shared/protocol/validation.ts';
import type { CountedKind } from './figures.ts';
import { type Interpretation, type KindedRecord, type MessageContext, interpret } from './interpret.ts';
import type { Rejection } from './series.ts';

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
  readonly dead: readonly DeadLetter[];
  readonly filtered: number;
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
}

type Kept = Extract<Interpretation, { kind: 'kept' }>;

export interface MessageBody {
  /** The last token of its subject. */
  readonly kind: string;
  readonly contentType: string | undefined;
  readonly body: Uint8Array;
}

/** Decodes, checks and interprets one message. A fault in one record leaves its neighbours alone; never throws. */
export function readMessage(message: MessageBody, context: MessageContext): ReadMessage {
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
  return { kind, kept: [], dead: [letter], filtered: 0, lettersOf: () => [letter] };
}

interface DecodedMessage {
  readonly kind: TelemetryType;
  readonly records: readonly unknown[];
  readonly encoding: Encoding;
  readonly body: Uint8Array;
}

function readRecords(decoded: DecodedMessage, context: MessageContext): ReadMessage {
  const { kind, records, encoding, body } = decoded;
  const kept: KeptRecord[] = [];
  const dead: DeadLetter[] = [];
  let filtered = 0;
  for (const [index, record] of records.entries()) {
    const checked = check[kind](record);
    const meaning: Interpretation = checked.ok
      ? interpret(checked.value, index, context)
      : { kind: 'rejected', reason: 'invalid_record', message: checked.error.message };
    if (meaning.kind === 'kept') kept.push({ index, updates: meaning.updates, entry: meaning.entry });
    else if (meaning.kind === 'filtered') filtered += 1;
    else dead.push(letter({ record, index, encoding }, meaning.reason, meaning.message));
  }
  return {
    kind,
    kept,
    dead,
    filtered,
    lettersOf: (places, reason, message) => {
      const again = recordsIn(decode(body, encoding));
      return places.map((index) => letter({ record: again[index], index, encoding }, reason, message));
    },
  };
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
