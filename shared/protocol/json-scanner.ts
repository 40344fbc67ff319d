import {
  backslash,
  closeArray,
  closeObject,
  colon,
  comma,
  isDigit,
  minus,
  openArray,
  openObject,
  plus,
  point,
  quote,
  zero,
} from './json-bytes.ts';
import { skipSpace } from './json-places.ts';

/** 1 for each byte that stands for itself in a string: no quote, backslash or control character. */
const plainBytes = new Uint8Array(256).fill(1);
plainBytes.fill(0, 0, 0x20);
plainBytes[quote] = 0;
plainBytes[backslash] = 0;

/** Deeper values are left to a reader that can say what is wrong with them. */
const depthMax = 64;

const words = ['true', 'false', 'null'].map((word) => Buffer.from(word));
const escapes = new Set(Buffer.from('"\\/bfnrt'));

/**
 * Goes through bytes of JSON and checks them on the way, without making anything of them: what is only to be kept need
 * not be read and written again, and keeps its every digit. The bytes must be UTF-8 (`isUtf8`).
 * Every verb returns false, or -1, where the bytes are not JSON or nested deeper than 64 levels; the scanner is of no
 * more use then. O(bytes), no allocation.
 */
export class JsonScanner {
  readonly bytes: Uint8Array;
  /** The next byte. */
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    this.skipBlanks();
    return this.at === this.bytes.length;
  }

  skipBlanks(): void {
    this.at = behindBlanks(this.bytes, this.at);
  }

  /** Passes one byte, and blanks before it. */
  take(byte: number): boolean {
    const at = behindBlanks(this.bytes, this.at);
    const isThere = this.bytes[at] === byte;
    this.at = isThere ? at + 1 : at;
    return isThere;
  }

  openObject = (): boolean => this.take(openObject);
  closeObject = (): boolean => this.take(closeObject);
  openList = (): boolean => this.take(openArray);
  closeList = (): boolean => this.take(closeArray);
  comma = (): boolean => this.take(comma);

  /** Passes this name of a member (as JSON text) and the colon behind it; false, and nothing passed, at another one. */
  isNamed(text: Uint8Array): boolean {
    this.skipBlanks();
    const { bytes, at } = this;
    for (let index = 0; index < text.length; index += 1) if (bytes[at + index] !== text[index]) return false;
    this.at = at + text.length;
    if (this.take(colon)) return true;
    this.at = at;
    return false;
  }

  /**
   * Passes the name of a member and the colon behind it.
   * @returns the name; undefined where there is none, or one with escapes
   */
  name(): string | undefined {
    const name = this.plainText();
    return name !== undefined && this.take(colon) ? name : undefined;
  }

  /** Passes a string. @returns its text; undefined where there is none, or one with escapes */
  plainText(): string | undefined {
    if (!this.take(quote)) return undefined;
    const { bytes, at: start } = this;
    let at = start;
    while (at < bytes.length && plainBytes[bytes[at] ?? 0] === 1) at += 1;
    if (bytes[at] !== quote) return undefined;
    this.at = at + 1;
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, at - start).toString();
  }

  /** Passes a value of any kind. @returns where it begins, behind blanks; -1 where there is none */
  value(): number {
    this.skipBlanks();
    const start = this.at;
    return this.#value(0) ? start : -1;
  }

  #value(depth: number): boolean {
    const byte = this.bytes[this.at];
    if (byte === quote) return this.#string();
    if (byte === openObject) return depth < depthMax && this.#object(depth + 1);
    if (byte === openArray) return depth < depthMax && this.#list(depth + 1);
    if (byte === minus || isDigit(byte)) return this.#number();
    return this.#word();
  }

  // Most of what is scanned are objects of texts: the place is kept at hand until something else comes.
  #object(depth: number): boolean {
    this.at += 1;
    if (this.take(closeObject)) return true;
    const { bytes } = this;
    let { at } = this;
    for (;;) {
      at = behindString(bytes, behindBlanks(bytes, at));
      if (at < 0) return false;
      at = behindBlanks(bytes, at);
      if (bytes[at] !== colon) return false;
      at = behindBlanks(bytes, at + 1);
      if (bytes[at] === quote) {
        at = behindString(bytes, at);
        if (at < 0) return false;
      } else {
        this.at = at;
        if (!this.#value(depth)) return false;
        ({ at } = this);
      }
      at = behindBlanks(bytes, at);
      if (bytes[at] !== comma) break;
      at += 1;
    }
    this.at = at;
    return this.take(closeObject);
  }

  #list(depth: number): boolean {
    this.at += 1;
    if (this.take(closeArray)) return true;
    do {
      this.skipBlanks();
      if (!this.#value(depth)) return false;
    } while (this.take(comma));
    return this.take(closeArray);
  }

  #string(): boolean {
    const end = behindString(this.bytes, this.at);
    if (end < 0) return false;
    this.at = end;
    return true;
  }

  #number(): boolean {
    if (this.bytes[this.at] === minus) this.at += 1;
    if (this.bytes[this.at] === zero) this.at += 1;
    else if (!this.#digits()) return false;
    if (this.bytes[this.at] === point) {
      this.at += 1;
      if (!this.#digits()) return false;
    }
    if (((this.bytes[this.at] ?? 0) | 0x20) !== 0x65) return true;
    this.at += 1;
    const sign = this.bytes[this.at];
    if (sign === plus || sign === minus) this.at += 1;
    return this.#digits();
  }

  #digits(): boolean {
    const start = this.at;
    for (;;) {
      const byte = this.bytes[this.at];
      if (!isDigit(byte)) return this.at > start;
      this.at += 1;
    }
  }

  #word(): boolean {
    for (const word of words) {
      if (this.bytes[this.at] !== word[0]) continue;
      for (const [index, byte] of word.entries()) if (this.bytes[this.at + index] !== byte) return false;
      this.at += word.length;
      return true;
    }
    return false;
  }
}

/** Hardly ever is there a blank: JSON is mostly written without. */
const behindBlanks = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? quote) > space ? at : skipSpace(bytes, at);

const space = 0x20;

/** Behind the string that begins at `start`; -1 where there is none. */
function behindString(bytes: Uint8Array, start: number): number {
  if (bytes[start] !== quote) return -1;
  const { length } = bytes;
  let at = start + 1;
  for (;;) {
    while (at < length && plainBytes[bytes[at] ?? 0] === 1) at += 1;
    const byte = bytes[at];
    at += 1;
    if (byte === quote) return at;
    if (byte !== backslash) return -1;
    const escaped = bytes[at] ?? 0;
    at += 1;
    if (escaped === 0x75) {
      for (let end = at + 4; at < end; at += 1) if (!isHex(bytes[at])) return -1;
    } else if (!escapes.has(escaped)) return -1;
  }
}

const isHex = (byte = 0): boolean => isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
