import { json } from '#shared/protocol/encoding.ts';
import { closeArray, comma, openArray, openObject } from '#shared/protocol/json-bytes.ts';
import { endOfValue, skipSpace } from '#shared/protocol/json-places.ts';
import { nestingMax, telemetryRecordsMax } from '#shared/protocol/limits.ts';
import { isTooDeep } from '#shared/protocol/nesting.ts';
import type { MessageContext } from './interpret.ts';
import { isAtLeast } from './levels.ts';
import type { LogShapes } from './log-shapes.ts';
import { type ReadMessage, Reading, decodeRecords } from './reading.ts';
import type { Verdict } from './rules.ts';
import { ScannedLog, type ScannedMessage } from './scanned-log.ts';

// So many may be of new shapes before the message is given up.
const missedAtFirst = 8;

/**
 * Reads a message of log records in JSON whose shapes are mostly known. What fits none is decoded alone, and its shape
 * is learned. Comes to the same as decoding all.
 * @returns undefined where the message as a whole must be decoded: it is broken, or says hardly anything twice
 */
export function readLogs(
  body: Uint8Array,
  context: MessageContext,
  shapes: LogShapes,
): ReadMessage | undefined {
  // What is to be taken out of a record has to be looked for in all of it.
  if (context.rules.redacts || !shapes.begin()) return undefined;
  const scan = new Scan(body, context, shapes);
  const isRead = scan.isRead();
  shapes.judge(isRead && scan.isMostlyKnown);
  return isRead ? scan.result() : undefined;
}

/** One pass over a message. */
class Scan {
  readonly #body: Uint8Array;
  readonly #context: MessageContext;
  readonly #shapes: LogShapes;
  readonly #reading: Reading;
  readonly #message: ScannedMessage;
  #source: string | undefined;
  #verdict: Verdict | undefined;
  #count = 0;
  #missed = 0;

  constructor(body: Uint8Array, context: MessageContext, shapes: LogShapes) {
    this.#body = body;
    this.#context = context;
    this.#shapes = shapes;
    this.#reading = new Reading('log', json, body);
    const { receivedMs, origin } = context;
    const buffer = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    this.#message = { body: buffer, receivedMs, origin, found: undefined };
  }

  /** @returns false where the message as a whole must be decoded */
  isRead(): boolean {
    const body = this.#body;
    let at = skipSpace(body, 0);
    const isArray = body[at] === openArray;
    if (isArray) at = skipSpace(body, at + 1);
    // An empty list holds nothing that could be quick.
    for (;;) {
      at = this.#record(at);
      if (at < 0) return false;
      at = skipSpace(body, at);
      if (!isArray) return at === body.length;
      if (body[at] === closeArray) return skipSpace(body, at + 1) === body.length;
      if (body[at] !== comma) return false;
      at = skipSpace(body, at + 1);
    }
  }

  get isMostlyKnown(): boolean {
    return this.#missed * 2 <= this.#count;
  }

  result(): ReadMessage {
    this.#shapes.lend(this.#message);
    return { ...this.#reading.result(), origin: this.#context.origin };
  }

  /** @returns where it ends, or -1 */
  #record(start: number): number {
    const body = this.#body;
    if (body[start] !== openObject || this.#count >= telemetryRecordsMax) return -1;
    const index = this.#count;
    this.#count += 1;
    const found = this.#shapes.find(body, start);
    if (found >= 0 && this.#take(index)) return found;
    this.#missed += 1;
    if (this.#missed > missedAtFirst && !this.isMostlyKnown) return -1;
    const end = endOfValue(body, start);
    if (end < 0) return -1;
    const record = body.subarray(start, end);
    const decoded = decodeRecords('log', record, json);
    // One level less: the array around it counts, too.
    if (!decoded.ok || isTooDeep(decoded.value, nestingMax - 1)) return -1;
    const isKept = this.#reading.take(decoded.value, index, this.#context);
    if (isKept && found < 0) this.#shapes.learn(record);
    return end;
  }

  /** @returns false where the rules have more to say about the record than a level */
  #take(index: number): boolean {
    const shapes = this.#shapes;
    const verdict = this.#verdictOf(shapes.source);
    if (verdict.extra !== undefined || verdict.sample < 1) return false;
    if (isAtLeast(shapes.level, verdict.level))
      this.#reading.keep(index, new ScannedLog(this.#message, shapes));
    else this.#reading.leaveOut(index, 'level');
    return true;
  }

  #verdictOf(source: string): Verdict {
    if (this.#verdict === undefined || this.#source !== source) {
      this.#source = source;
      this.#verdict = this.#context.rules.verdict(source, 'log');
    }
    return this.#verdict;
  }
}
