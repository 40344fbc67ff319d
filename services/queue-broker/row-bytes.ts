// The bytes that rows and records are made of. Written by hand because a busy queue writes several an item:
// MessagePack of the same costs five times as much.

const bufferBytes = 65_536;

/** Writes numbers, texts and bytes one after the other into a buffer of its own that grows. */
export class RowWriter {
  #buffer = Buffer.allocUnsafeSlow(bufferBytes);
  #at = 0;

  /** Begins anew. */
  begin(): void {
    this.#at = 0;
    // Whatever had to be large once must not stay so for ever.
    if (this.#buffer.length > bufferBytes * 64) this.#buffer = Buffer.allocUnsafeSlow(bufferBytes);
  }

  /** Bytes written since `begin`. */
  get length(): number {
    return this.#at;
  }

  /** Copies what was written since `begin`. */
  copyTo(target: Buffer, at: number): void {
    this.#buffer.copy(target, at, 0, this.#at);
  }

  /** What was written since `begin`, as bytes of its own. */
  end(): Buffer {
    const row = Buffer.allocUnsafe(this.#at);
    this.copyTo(row, 0);
    return row;
  }

  /** A whole number from 0 to 2^53 − 1, seven bits a byte, the lowest first. */
  uint(value: number): void {
    let at = this.#at;
    if (at + 8 > this.#buffer.length) this.#grow(8);
    const buffer = this.#buffer;
    if (value < 128) {
      buffer[at] = value;
      this.#at = at + 1;
      return;
    }
    let rest = value;
    while (rest >= 0x8000_0000) {
      buffer[at] = (rest % 128) | 128;
      at += 1;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 128) {
      buffer[at] = (rest & 127) | 128;
      at += 1;
      rest >>>= 7;
    }
    buffer[at] = rest;
    this.#at = at + 1;
  }

  /** The distance of two whole numbers: near ones take a byte or two, whichever is the larger. */
  distance(value: number, from: number): void {
    const distance = value - from;
    if (distance >= 0 && distance < 2 ** 51) return this.uint(distance * 2);
    if (distance < 0 && distance > -(2 ** 51)) return this.uint(-distance * 2 - 1);
    throw new RangeError(`${distance} is too far for a row`);
  }

  text(text: string): void {
    const { length } = text;
    const start = this.#at;
    // Most texts are short and ASCII: then the length in bytes is the length, and one byte holds it.
    if (length < 64) {
      if (start + 64 > this.#buffer.length) this.#grow(64);
      const buffer = this.#buffer;
      let index = 0;
      for (; index < length; index += 1) {
        const code = text.charCodeAt(index);
        if (code > 127) break;
        buffer[start + 1 + index] = code;
      }
      if (index === length) {
        buffer[start] = length;
        this.#at = start + 1 + length;
        return;
      }
    }
    this.bytes(Buffer.from(text));
  }

  bytes(bytes: Uint8Array): void {
    const { length } = bytes;
    this.uint(length);
    if (this.#at + length > this.#buffer.length) this.#grow(length);
    if (length < 48) {
      const buffer = this.#buffer;
      const at = this.#at;
      for (let index = 0; index < length; index += 1) buffer[at + index] = bytes[index] ?? 0;
    } else this.#buffer.set(bytes, this.#at);
    this.#at += length;
  }

  #grow(bytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#at + bytes, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** Reads what a `RowWriter` wrote, in the same order. Throws at the end. */
export class RowReader {
  readonly #buffer: Buffer;
  #at: number;

  /** @param at where to begin */
  constructor(bytes: Uint8Array, at = 0) {
    this.#buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#at = at;
  }

  /** True when everything has been read. */
  get ended(): boolean {
    return this.#at >= this.#buffer.length;
  }

  uint(): number {
    const buffer = this.#buffer;
    const first = buffer[this.#at];
    if (first === undefined) throw endsTooEarly();
    this.#at += 1;
    if (first < 128) return first;
    let value = first & 127;
    let factor = 128;
    for (;;) {
      const byte = buffer[this.#at];
      if (byte === undefined) throw endsTooEarly();
      this.#at += 1;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  }

  distance(from: number): number {
    const value = this.uint();
    return value % 2 === 0 ? from + value / 2 : from - (value + 1) / 2;
  }

  text(): string {
    const start = this.#skip();
    return this.#buffer.toString('utf8', start, this.#at);
  }

  /** A copy: what was read from may be reused. */
  bytes(): Uint8Array {
    const start = this.#skip();
    const copy = Buffer.allocUnsafe(this.#at - start);
    this.#buffer.copy(copy, 0, start, this.#at);
    return copy;
  }

  /** Passes over a length and as many bytes; says where they begin. */
  #skip(): number {
    const length = this.uint();
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#buffer.length) throw endsTooEarly();
    return start;
  }
}

const endsTooEarly = (): Error => new Error('a row ends too early');
