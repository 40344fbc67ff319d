import { decode, encodingOf, json } from '#shared/protocol/encoding.ts';
import { nestingMax, telemetryRecordsMax } from '#shared/protocol/limits.ts';
import { isTooDeep, tooDeep } from '#shared/protocol/nesting.ts';
import { type TelemetryType, isTelemetryKind } from '#shared/protocol/telemetry-records.ts';
import type { CountedKind } from './figures.ts';
import type { MessageContext } from './interpret.ts';
import { KnownRecords } from './known-records.ts';
import { LogShapes } from './log-shapes.ts';
import { readLogs } from './read-logs.ts';
import {
  type DeadReason,
  type DecodedMessage,
  KnownBatch,
  type ReadMessage,
  Reading,
  decodeRecords,
  recordsIn,
  unreadable,
} from './reading.ts';
import type { Series } from './series.ts';

/** What records have come to before, of the kinds that are mere numbers, and the shapes of log records. */
export interface Known extends Readonly<Record<'metric' | 'performance', KnownRecords<readonly Series[]>>> {
  readonly log: LogShapes;
}

export const nothingKnown = (): Known => ({
  log: new LogShapes(),
  metric: new KnownRecords('value', telemetryRecordsMax),
  performance: new KnownRecords('durationMs', telemetryRecordsMax),
});

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
    return unreadableBody('other', message, 'unknown_kind', `${kind} is no kind of record`);
  const encoding = encodingOf(message.contentType);
  if (encoding === undefined) {
    return unreadableBody(
      kind,
      message,
      'unknown_content_type',
      `Content-Type ${message.contentType} is not spoken here`,
    );
  }
  if (encoding === json && message.body.length > 0) {
    const read = readQuickly(kind, message.body, context, known);
    if (read !== undefined) return read;
  }
  const decoded = decodeRecords(kind, message.body, encoding);
  if (!decoded.ok) return unreadableBody(kind, message, 'undecodable', decoded.error.message);
  // A record that is nested too deeply can be read but not written again, into the dead letters neither.
  if (isTooDeep(decoded.value))
    return unreadableBody(kind, message, 'undecodable', tooDeep('body').error.message);
  const records = recordsIn(decoded);
  if (records.length > telemetryRecordsMax) {
    const problem = `${records.length} records are more than ${telemetryRecordsMax}`;
    return unreadableBody(kind, message, 'too_many_records', problem);
  }
  return readRecords({ kind, records, encoding, body: message.body }, context);
}

/** The whole message as one dead letter. */
const unreadableBody = (
  kind: CountedKind,
  { contentType, body }: MessageBody,
  reason: DeadReason,
  problem: string,
): ReadMessage =>
  unreadable(kind, { reason, message: problem, index: undefined, contentType: contentType ?? json, body });

function readRecords(decoded: DecodedMessage, context: MessageContext): ReadMessage {
  const { kind, records, encoding, body } = decoded;
  const reading = new Reading(kind, encoding, body);
  for (const [index, record] of records.entries()) reading.take(record, index, context);
  return { ...reading.result(), origin: context.origin };
}

/** Without decoding what has been seen before; undefined where the message as a whole must be decoded. */
function readQuickly(
  kind: TelemetryType,
  body: Uint8Array,
  context: MessageContext,
  known: Known | undefined,
): ReadMessage | undefined {
  if (kind === 'metric' || kind === 'performance') return readKnown(kind, body, context, known?.[kind]);
  return kind === 'log' && known !== undefined ? readLogs(body, context, known.log) : undefined;
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
  const known = new KnownBatch(scanner.count);
  for (let index = 0; index < scanner.count; index += 1) {
    const series = records.find(view, index);
    const value = scanner.values[index] ?? 0;
    const time = scanner.times[index] ?? 0;
    if (series !== undefined && !(value < 0 && mustNotBeNegative(series))) {
      known.add(index, series, value, time < 0 ? context.receivedMs : time);
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
