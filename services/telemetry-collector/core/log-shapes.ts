import { backslash, minus, point, quote, zero } from '#shared/protocol/json-bytes.ts';
import { timeMs, timeMsMax } from '#shared/protocol/times.ts';
import { stackLengthMax, tagLengthMax } from '#shared/protocol/limits.ts';
import { type TelemetryLevel, telemetryLevels } from '#shared/protocol/telemetry-records.ts';
import { unknownSource } from './interpret.ts';
import { type Shape, type Slot, shapeOf } from './log-shape.ts';
import type { FoundRecord, ScannedMessage } from './scanned-log.ts';

/** Bytes that stand for themselves in a string of JSON: ASCII but for quote, backslash and control characters. */
const isPlain = Uint8Array.from({ length: 256 }, (_, byte) =>
  Number(byte >= 0x20 && byte < 0x80 && byte !== quote && byte !== backslash),
);

// A producer that never says the same costs one look in so many messages.
const restMax = 255;

// Up to here digits and one division give the same number as JSON.parse (see record-scan.ts).
const digitsMax = 15;
const powersOfTen = Array.from({ length: digitsMax + 1 }, (_, power) => 10 ** power);

/** A producer has a few; each one that does not fit costs a comparison up to the first other byte. */
const shapesMax = 16;

const levelWords: readonly Uint8Array[] = telemetryLevels.map((level) => Buffer.from(level));
/** Of a log record that names none (interpret.ts). */
const levelDefault = 'info';

/**
 * Reads log records of JSON without decoding them. The records of one line of a program have the same bytes but for
 * their values: such a shape is learned from a record that was decoded and found good, and what fits it is good, too:
 * the same names in the same order, and in the place of each value one of the same type that stands for itself (no
 * escapes, ASCII alone, a plain number). Everything else is for the decoder. O(bytes), no allocation but for a source
 * that is new.
 */
export class LogShapes implements FoundRecord {
  /** The most recently used first. */
  readonly #shapes: Shape[] = [];
  /** From and to of each value, two for each slot of each record since `begin`. */
  #places = new Int32Array(4_096);
  /** Of the values that are numbers, by their slot. */
  #numbers = new Float64Array(2_048);
  #used = 0;
  #number = 0;
  /** Messages that are not looked at, of how many. */
  #resting = 0;
  #restMax = 0;
  #source: { readonly text: string; readonly bytes: Buffer } | undefined;
  #message: ScannedMessage | undefined;

  // What the last `find` has found.
  shape: Shape | undefined;
  /** Its first slot's place among all of this message. */
  base = 0;
  start = 0;
  end = 0;
  source = unknownSource;
  level: TelemetryLevel = levelDefault;
  /** Epoch milliseconds; undefined where the record names none. */
  timestamp: number | undefined;

  get size(): number {
    return this.#shapes.length;
  }

  /** Another message. @returns false where it is better decoded as a whole: those before it had little to be found */
  begin(): boolean {
    if (this.#message !== undefined) this.#message.found = undefined;
    this.#message = undefined;
    this.#used = 0;
    if (this.#resting === 0) return true;
    this.#resting -= 1;
    return false;
  }

  /** Says whether looking was worth it; while it is not, it is tried less and less often. */
  judge(wasUseful: boolean): void {
    this.#restMax = wasUseful ? 0 : Math.min(restMax, this.#restMax * 2 + 1);
    this.#resting = this.#restMax;
  }

  /** Lends the message what was found of it since `begin`, until the next `begin`: by then it is encoded. */
  lend(message: ScannedMessage): void {
    this.#message = message;
    message.found = { places: this.#places, numbers: this.#numbers };
  }

  /** Looks at the record that begins at `start`. @returns where it ends, or -1 where it must be decoded */
  find(body: Uint8Array, start: number): number {
    for (let index = 0; index < this.#shapes.length; index += 1) {
      const shape = this.#shapes[index] as Shape;
      const end = this.#match(body, start, shape);
      if (end < 0) continue;
      if (index > 0) {
        this.#shapes.splice(index, 1);
        this.#shapes.unshift(shape);
      }
      this.shape = shape;
      this.start = start;
      this.end = end;
      this.base = this.#used;
      this.#used += shape.slots.length;
      return end;
    }
    return -1;
  }

  /** Learns the shape of a record that was decoded and kept. */
  learn(record: Uint8Array): void {
    const shape = shapeOf(record);
    if (shape === undefined) return;
    this.#shapes.unshift(shape);
    if (this.#shapes.length > shapesMax) this.#shapes.pop();
  }

  #match(body: Uint8Array, start: number, { bytes, ends, slots }: Shape): number {
    this.#makeRoom(slots.length);
    this.source = unknownSource;
    this.level = levelDefault;
    this.timestamp = undefined;
    let at = start;
    let literal = 0;
    for (let index = 0; index < slots.length; index += 1) {
      for (const end = ends[index] as number; literal < end; literal += 1, at += 1)
        if (body[at] !== bytes[literal]) return -1;
      const slot = slots[index] as Slot;
      const from = at;
      at = slot.type === 'text' ? endOfText(body, at) : this.#endOfOther(body, at, slot);
      if (at < 0) return -1;
      if (slot.role !== 'attribute' && !this.#note(slot.role, body, from, at)) return -1;
      const place = this.#used + index;
      this.#places[place * 2] = from;
      this.#places[place * 2 + 1] = at;
      if (slot.type === 'number') this.#numbers[place] = this.#number;
    }
    for (; literal < bytes.length; literal += 1, at += 1) if (body[at] !== bytes[literal]) return -1;
    return at;
  }

  #endOfOther(body: Uint8Array, from: number, { type }: Slot): number {
    if (type === 'number') return this.#endOfNumber(body, from);
    if (isAt(body, from, wordTrue)) return from + wordTrue.length;
    return isAt(body, from, wordFalse) ? from + wordFalse.length : -1;
  }

  /** What the record says about itself. @returns false where that is nothing that it may say */
  #note(role: Exclude<Slot['role'], 'attribute'>, body: Uint8Array, from: number, to: number): boolean {
    switch (role) {
      case 'message':
        return to > from && to - from <= stackLengthMax;
      case 'level':
        return this.#isLevel(body, from, to);
      case 'source':
        if (to === from || to - from > tagLengthMax) return false;
        this.source = this.#sourceAt(body, from, to);
        return true;
      case 'instant':
        this.timestamp = this.#number;
        return this.#number >= 0 && this.#number <= timeMsMax && Number.isInteger(this.#number);
      case 'date':
        this.timestamp = timeMs(textOf(body, from, to));
        return this.timestamp !== undefined;
    }
  }

  #isLevel(body: Uint8Array, from: number, to: number): boolean {
    for (let index = 0; index < levelWords.length; index += 1) {
      const word = levelWords[index] as Uint8Array;
      if (word.length !== to - from || !isAt(body, from, word)) continue;
      this.level = telemetryLevels[index] ?? levelDefault;
      return true;
    }
    return false;
  }

  /** Nearly always it is the one of the record before. */
  #sourceAt(body: Uint8Array, from: number, to: number): string {
    const known = this.#source;
    if (known !== undefined && known.bytes.length === to - from && isAt(body, from, known.bytes))
      return known.text;
    const text = textOf(body, from, to);
    this.#source = { text, bytes: Buffer.from(text) };
    return text;
  }

  #endOfNumber(body: Uint8Array, from: number): number {
    let at = from;
    const isNegative = body[at] === minus;
    if (isNegative) at += 1;
    const first = at;
    let whole = 0;
    let digit = (body[at] ?? 0) - zero;
    for (; digit >= 0 && digit <= 9; digit = (body[++at] ?? 0) - zero) whole = whole * 10 + digit;
    let digits = at - first;
    if (digits === 0 || (digits > 1 && body[first] === zero)) return -1;
    if (body[at] === point) {
      const fractionStart = at + 1;
      digit = (body[++at] ?? 0) - zero;
      for (; digit >= 0 && digit <= 9; digit = (body[++at] ?? 0) - zero) whole = whole * 10 + digit;
      const fraction = at - fractionStart;
      digits += fraction;
      if (fraction === 0 || digits > digitsMax) return -1;
      whole /= powersOfTen[fraction] ?? Number.NaN;
    }
    // An exponent, or whatever else stands behind it, is not what the shape goes on with.
    if (digits > digitsMax) return -1;
    this.#number = isNegative ? -whole : whole;
    return at;
  }

  #makeRoom(slots: number): void {
    if (this.#used + slots <= this.#numbers.length) return;
    const numbers = new Float64Array(Math.max(this.#numbers.length * 2, this.#used + slots));
    const places = new Int32Array(numbers.length * 2);
    numbers.set(this.#numbers);
    places.set(this.#places);
    this.#numbers = numbers;
    this.#places = places;
  }
}

const wordTrue = Buffer.from('true');
const wordFalse = Buffer.from('false');

/** Behind the last byte of a string's content; -1 where it must be decoded. */
function endOfText(body: Uint8Array, from: number): number {
  let at = from;
  while (isPlain[body[at] ?? 0] === 1) at += 1;
  return body[at] === quote ? at : -1;
}

function isAt(body: Uint8Array, at: number, word: Uint8Array): boolean {
  for (let index = 0; index < word.length; index += 1) if (body[at + index] !== word[index]) return false;
  return true;
}

/** ASCII as text. */
export const textOf = (body: Uint8Array, from: number, to: number): string =>
  Buffer.from(body.buffer, body.byteOffset + from, to - from).toString('latin1');
