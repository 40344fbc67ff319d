import { timeMsMax } from '#shared/protocol/times.ts';
import { daysInMonth, daysOf } from './days.ts';
import {
  backslash,
  bytesOf,
  closeArray,
  closeObject,
  colon,
  comma,
  digit,
  isDigit,
  isNamed,
  isSpace,
  minus,
  openArray,
  openObject,
  point,
  quote,
  twoDigits,
  zero,
} from '#shared/protocol/json-bytes.ts';
import { hashOf } from './quick-hash.ts';
import { RecordLayouts, numberAlone, numberFirst, timeFirst } from './record-layouts.ts';

const timestampKey = bytesOf('timestamp');

/** The last four bytes before a value, as one number: the end of its name, a quotation mark and a colon. */
const tailOf = (key: readonly number[]): number =>
  (key.at(-2) ?? 0) | ((key.at(-1) ?? 0) << 8) | (quote << 16) | (colon << 24) | 0;
const timeTail = tailOf(timestampKey);

// Up to here digits and a division give the same number as JSON.parse: both operands are exact, and one rounding is
// all there is (Clinger, "How to Read Floating Point Numbers Accurately", 1990).
const digitsMax = 15;
const powersOfTen = Array.from({ length: digitsMax + 1 }, (_, power) => 10 ** power);

/**
 * Finds the records in a JSON message without decoding them: where each lies, its number and its time, and a hash of
 * all its other bytes. It is no validator: what it says holds for records whose other bytes are known to be good
 * (KnownRecords), and a record that is not known is decoded on its own, which checks it.
 *
 * Before a record is scanned it is guessed where its number and its time are: where they were in records like it. A
 * guess counts when all other bytes are those of a known record. Then there is nothing left to scan: what reads the
 * same up to a number, and the same behind it, has its names and values at the same places.
 *
 * The arrays are used again by the next `scan`. One pass, no allocation; O(bytes).
 */
export class RecordScanner {
  count = 0;
  starts = new Int32Array(256);
  ends = new Int32Array(256);
  /** The two gaps that are left out of the hash, in the order of the bytes; empty at the end where there is none. */
  gapStarts = new Int32Array(512);
  gapEnds = new Int32Array(512);
  hashes = new Int32Array(256);
  /** NaN where there is no plain number: the record must be decoded. */
  values = new Float64Array(256);
  /** Epoch milliseconds; -1 where the record names no time, NaN where it must be decoded to know. */
  times = new Float64Array(256);
  /** What `known` has said of a record whose places were guessed; -1 where it was scanned. */
  entries = new Int32Array(256);

  readonly #layouts = new RecordLayouts();
  readonly #known: (view: DataView, index: number) => number;
  readonly #valueTail: number;
  readonly #valueKey: readonly number[];
  readonly #recordsMax: number;
  #body: Uint8Array = new Uint8Array();
  #view: DataView = new DataView(new ArrayBuffer(0));
  #last = -1;
  #isEscaped = false;
  #value = Number.NaN;
  #time = -1;
  #gaps = 0;

  /**
   * @param valueKey name of the member that holds the record's number
   * @param known asked about the record at an index of the arrays; -1 where its bytes are not known
   */
  constructor(valueKey: string, recordsMax: number, known: (view: DataView, index: number) => number) {
    this.#known = known;
    this.#valueKey = bytesOf(valueKey);
    this.#valueTail = tailOf(this.#valueKey);
    this.#recordsMax = recordsMax;
  }

  /** @returns false when the body is not of the usual shape: then all of it must be decoded */
  scan(body: Uint8Array): boolean {
    this.#body = body;
    this.#view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    this.#last = body.length - 1;
    this.count = 0;
    let at = this.#skipSpace(0);
    if (body[at] !== openArray) {
      at = this.#record(at);
      return at > 0 && this.#skipSpace(at) === body.length;
    }
    at = this.#skipSpace(at + 1);
    if (body[at] === closeArray) return this.#skipSpace(at + 1) === body.length;
    for (;;) {
      if (this.count >= this.#recordsMax) return false;
      at = this.#record(at);
      if (at < 0) return false;
      at = this.#skipSpace(at);
      if (body[at] === closeArray) return this.#skipSpace(at + 1) === body.length;
      if (body[at] !== comma) return false;
      at = this.#skipSpace(at + 1);
    }
  }

  /** @returns where it ends, or -1 */
  #record(start: number): number {
    const body = this.#body;
    const index = this.count;
    if (body[start] !== openObject) return -1;
    if (index >= this.starts.length) this.#grow();
    const guessed = this.#guess(start, index);
    if (guessed > 0) return guessed;
    this.#value = Number.NaN;
    this.#time = -1;
    this.#gaps = 0;
    let at = this.#skipSpace(start + 1);
    for (;;) {
      at = this.#member(at);
      if (at < 0) return -1;
      at = this.#skipSpace(at);
      if (body[at] === closeObject) break;
      if (body[at] !== comma) return -1;
      at = this.#skipSpace(at + 1);
    }
    this.#keep(start, at + 1);
    this.entries[index] = -1;
    this.count = index + 1;
    return at + 1;
  }

  /** @returns where it ends, or -1: then it must be scanned */
  #guess(start: number, index: number): number {
    const { orders, befores, betweens, behinds, length } = this.#layouts;
    for (let layout = 0; layout < length; layout += 1) {
      const order = orders[layout];
      this.#value = Number.NaN;
      this.#time = -1;
      this.#gaps = 0;
      let end = this.#guessed(order === timeFirst, start + (befores[layout] ?? 0));
      if (this.#gaps < 1) continue;
      end += betweens[layout] ?? 0;
      if (order !== numberAlone) {
        end = this.#guessed(order === numberFirst, end) + (behinds[layout] ?? 0);
        if (this.#gaps < 2) continue;
      }
      if (this.#body[end - 1] !== closeObject) continue;
      this.#keep(start, end);
      const entry = this.#known(this.#view, index);
      if (entry < 0) continue;
      this.entries[index] = entry;
      this.count = index + 1;
      return end;
    }
    return -1;
  }

  /** The time or the number, if it is here: then there is one more gap. @returns where it ends */
  #guessed(isTime: boolean, at: number): number {
    if (at > this.#last || this.#view.getInt32(at - 4, true) !== (isTime ? timeTail : this.#valueTail))
      return -1;
    return isTime ? this.#timestamp(at) : this.#number(at);
  }

  /** Expects to find others like this known record, with their number and time at its places. */
  expect(index: number): void {
    const start = this.starts[index] ?? 0;
    const first = this.gapStarts[index * 2] ?? 0;
    const between = this.gapEnds[index * 2] ?? 0;
    const second = this.gapStarts[index * 2 + 1] ?? 0;
    const behind = this.gapEnds[index * 2 + 1] ?? 0;
    const end = this.ends[index] ?? 0;
    const tail = this.#view.getInt32(first - 4, true);
    // One that is written with spaces has no such tail, and is scanned.
    if (tail !== timeTail && tail !== this.#valueTail) return;
    const order = this.times[index] === -1 ? numberAlone : tail === timeTail ? timeFirst : numberFirst;
    this.#layouts.note(order, first - start, second - between, end - behind);
  }

  #keep(start: number, end: number): void {
    const index = this.count;
    for (let gap = this.#gaps; gap < 2; gap += 1) this.#gap(index, end, end);
    this.starts[index] = start;
    this.ends[index] = end;
    this.values[index] = this.#value;
    this.times[index] = this.#time;
    this.hashes[index] = this.#hash(index);
  }

  /** A name and its value. @returns where they end, or -1 */
  #member(start: number): number {
    const body = this.#body;
    if (body[start] !== quote) return -1;
    const nameStart = start + 1;
    const nameEnd = this.#endOfString(start) - 1;
    if (nameEnd < 0) return -1;
    // A name in another spelling might be that of the number.
    if (this.#isEscaped) this.#time = Number.NaN;
    let at = nameEnd + 1;
    if (body[at] !== colon) {
      at = this.#skipSpace(at);
      if (body[at] !== colon) return -1;
    }
    at = this.#skipSpace(at + 1);
    const length = nameEnd - nameStart;
    if (length === this.#valueKey.length && isNamed(body, nameStart, this.#valueKey)) return this.#number(at);
    if (length === timestampKey.length && isNamed(body, nameStart, timestampKey)) return this.#timestamp(at);
    return body[at] === quote ? this.#endOfString(at) : this.#endOfValue(at);
  }

  /** The record's number. Twice the same name, or no plain number, is for the decoder. */
  #number(start: number): number {
    const body = this.#body;
    let at = start;
    const isNegative = body[at] === minus;
    if (isNegative) at += 1;
    const first = at;
    let whole = 0;
    let byte = body[at];
    while (isDigit(byte)) {
      whole = whole * 10 + (byte - zero);
      byte = body[++at];
    }
    let digits = at - first;
    let isPlain = digits > 0 && (digits === 1 || body[first] !== zero);
    let fraction = 0;
    if (byte === point) {
      const fractionStart = at + 1;
      byte = body[++at];
      while (isDigit(byte)) {
        whole = whole * 10 + (byte - zero);
        byte = body[++at];
      }
      fraction = at - fractionStart;
      digits += fraction;
      isPlain = isPlain && fraction > 0;
    }
    isPlain = isPlain && digits <= digitsMax && this.#isEnd(byte) && Number.isNaN(this.#value);
    if (!isPlain || this.#gaps > 1) return this.#giveUp(start);
    const value = fraction === 0 ? whole : whole / (powersOfTen[fraction] ?? Number.NaN);
    this.#value = isNegative ? -value : value;
    this.#gap(this.count, start, at);
    return at;
  }

  #timestamp(start: number): number {
    if (this.#time !== -1 || this.#gaps > 1) return this.#giveUp(start);
    const isText = this.#body[start] === quote;
    const end = isText ? this.#dateEnd(start) : this.#millisEnd(start);
    if (end < 0 || !this.#isEnd(this.#body[end])) return this.#giveUp(start);
    this.#gap(this.count, start, end);
    return end;
  }

  /** Whole milliseconds. @returns where they end, or -1 */
  #millisEnd(start: number): number {
    let at = start;
    let millis = 0;
    let byte = this.#body[at];
    while (isDigit(byte) && at - start < digitsMax) {
      millis = millis * 10 + (byte - zero);
      byte = this.#body[++at];
    }
    const digits = at - start;
    if (digits === 0 || (digits > 1 && this.#body[start] === zero) || millis > timeMsMax) return -1;
    this.#time = millis;
    return at;
  }

  /** `"2026-01-31T12:00:00Z"`, or with three digits of a second. @returns where it ends, or -1 */
  #dateEnd(start: number): number {
    const body = this.#body;
    const at = start + 1;
    const length = body[at + 19] === point ? 24 : 20;
    if (body[at + length - 1] !== 0x5a || body[at + length] !== quote) return -1;
    const separators =
      body[at + 4] === minus &&
      body[at + 7] === minus &&
      body[at + 10] === 0x54 &&
      body[at + 13] === colon &&
      body[at + 16] === colon;
    const year = twoDigits(body, at) * 100 + twoDigits(body, at + 2);
    const month = twoDigits(body, at + 5);
    const day = twoDigits(body, at + 8);
    const hour = twoDigits(body, at + 11);
    const minute = twoDigits(body, at + 14);
    const second = twoDigits(body, at + 17);
    const fraction = length === 20 ? 0 : twoDigits(body, at + 20) * 10 + digit(body, at + 22);
    // A leap day is not wrong, only rare: the decoder says whether there is one.
    const isDate = year >= 1970 && year < 2286 && day >= 1 && day <= (daysInMonth[month] ?? 0);
    if (!separators || !isDate || !(hour < 24 && minute < 60 && second < 60 && fraction >= 0)) return -1;
    this.#time =
      daysOf(year, month, day) * 86_400_000 + ((hour * 60 + minute) * 60 + second) * 1_000 + fraction;
    return at + length + 1;
  }

  /** Leaves the record to the decoder. */
  #giveUp(start: number): number {
    this.#time = Number.NaN;
    return this.#endOfValue(start);
  }

  #isEnd(byte: number | undefined): boolean {
    return byte === comma || byte === closeObject || isSpace(byte);
  }

  #gap(index: number, start: number, end: number): void {
    const place = index * 2 + this.#gaps;
    this.gapStarts[place] = start;
    this.gapEnds[place] = end;
    this.#gaps += 1;
  }

  #skipSpace(start: number): number {
    const body = this.#body;
    let at = start;
    // Most have none: one comparison then.
    while (at <= this.#last && (body[at] as number) <= 0x20 && isSpace(body[at])) at += 1;
    return at;
  }

  /** Behind the closing quote of the string that begins at `start`; -1 where there is none. */
  #endOfString(start: number): number {
    const body = this.#body;
    const last = this.#last;
    let at = start + 1;
    this.#isEscaped = false;
    while (at <= last) {
      const byte = body[at] as number;
      at += 1;
      if (byte === quote) return at;
      if (byte === backslash) {
        this.#isEscaped = true;
        at += 1;
      }
    }
    return -1;
  }

  #endOfValue(start: number): number {
    const body = this.#body;
    const first = body[start];
    if (first === quote) return this.#endOfString(start);
    let at = start;
    if (first !== openObject && first !== openArray) {
      for (let byte = first; byte !== undefined; byte = body[++at]) {
        if (this.#isEnd(byte) || byte === closeArray) return at;
      }
      return -1;
    }
    let depth = 0;
    const last = this.#last;
    while (at <= last) {
      const byte = body[at] as number;
      if (byte === quote) {
        at = this.#endOfString(at);
        if (at < 0) return -1;
        continue;
      }
      at += 1;
      if (byte === openObject || byte === openArray) depth += 1;
      else if (byte === closeObject || byte === closeArray) {
        depth -= 1;
        if (depth === 0) return at;
      }
    }
    return -1;
  }

  #hash(index: number): number {
    let hash = 0x811c9dc5;
    let from = this.starts[index] ?? 0;
    for (let gap = 0; gap < 2; gap += 1) {
      hash = hashOf(this.#view, from, this.gapStarts[index * 2 + gap] ?? 0, hash);
      from = this.gapEnds[index * 2 + gap] ?? 0;
    }
    return hashOf(this.#view, from, this.ends[index] ?? 0, hash) | 0;
  }

  #grow(): void {
    const grown = <A extends Int32Array | Float64Array>(made: A, from: A): A => {
      made.set(from);
      return made;
    };
    const length = this.starts.length * 2;
    this.starts = grown(new Int32Array(length), this.starts);
    this.ends = grown(new Int32Array(length), this.ends);
    this.hashes = grown(new Int32Array(length), this.hashes);
    this.entries = grown(new Int32Array(length), this.entries);
    this.gapStarts = grown(new Int32Array(length * 2), this.gapStarts);
    this.gapEnds = grown(new Int32Array(length * 2), this.gapEnds);
    this.values = grown(new Float64Array(length), this.values);
    this.times = grown(new Float64Array(length), this.times);
  }
}
