import { type Encoding, encode, json } from '#shared/protocol/encoding.ts';

const firstBytes = 65_536;
/** A writer that grew beyond this for one large reply begins small again. */
const keptBytesMax = 8 * 1_048_576;

/** The bytes of a name in each encoding: `"name":` and MessagePack's short string. */
export interface FieldName {
  readonly json: Uint8Array;
  readonly msgpack: Uint8Array;
}

/** @param name at most 31 characters of ASCII: what MessagePack heads with one byte */
export const fieldName = (name: string): FieldName => ({
  json: Buffer.from(`"${name}":`),
  msgpack: Buffer.concat([Buffer.from([0xa0 + name.length]), Buffer.from(name)]),
});

/**
 * Writes replies, around values that are encoded already, into one piece of memory that is used again for the next
 * one: an item of a batch costs no object and no string.
 */
export class ReplyWriter {
  #encoding: Encoding = json;
  #isJson = true;
  #bytes = Buffer.allocUnsafeSlow(firstBytes);
  #length = 0;

  /** Begins another reply. */
  begin(encoding: Encoding): this {
    this.#encoding = encoding;
    this.#isJson = encoding === json;
    this.#length = 0;
    if (this.#bytes.length > keptBytesMax) this.#bytes = Buffer.allocUnsafeSlow(firstBytes);
    return this;
  }

  get encoding(): Encoding {
    return this.#encoding;
  }

  get length(): number {
    return this.#length;
  }

  /** Drops what was written behind `length`. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** What was written, in memory of its own: it may be on its way when the next reply begins. */
  finish(): Uint8Array {
    const out = Buffer.allocUnsafe(this.#length);
    this.#bytes.copy(out, 0, 0, this.#length);
    return out;
  }

  /** @param fields how many follow; at most 15 */
  beginObject(fields: number): void {
    this.#byte(this.#isJson ? 0x7b : 0x80 + fields);
  }

  endObject(): void {
    if (this.#isJson) this.#byte(0x7d);
  }

  /** @param isFirst of the object's fields */
  name(name: FieldName, isFirst = false): void {
    if (this.#isJson && !isFirst) this.#byte(0x2c);
    this.raw(this.#isJson ? name.json : name.msgpack);
  }

  beginList(items: number): void {
    if (this.#isJson) this.#byte(0x5b);
    else if (items < 16) this.#byte(0x90 + items);
    else {
      this.#byte(0xdd);
      for (let shift = 24; shift >= 0; shift -= 8) this.#byte((items >>> shift) & 0xff);
    }
  }

  /** Before each item of a list. */
  separate(isFirst: boolean): void {
    if (this.#isJson && !isFirst) this.#byte(0x2c);
  }

  endList(): void {
    if (this.#isJson) this.#byte(0x5d);
  }

  boolean(value: boolean): void {
    if (this.#isJson) this.raw(value ? trueBytes : falseBytes);
    else this.#byte(value ? 0xc3 : 0xc2);
  }

  /** @param value a safe integer from 0 */
  integer(value: number): void {
    if (this.#isJson) this.#digits(value);
    else this.#packedInteger(value);
  }

  /** Bytes in the reply's encoding. */
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    if (bytes.length > shortBytes) this.#bytes.set(bytes, this.#length);
    else for (let at = 0; at < bytes.length; at += 1) this.#bytes[this.#length + at] = bytes[at] ?? 0;
    this.#length += bytes.length;
  }

  /** Any value, encoded here. */
  value(value: unknown): void {
    this.raw(encode(value, this.#encoding));
  }

  #byte(byte: number): void {
    this.#room(1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
  }

  /** A call into the library for so few digits would cost more than the loop. */
  #digits(value: number): void {
    let digits = 1;
    for (let bound = 10; digits < 16 && value >= bound; bound *= 10) digits += 1;
    this.#room(digits);
    let rest = value;
    let at = this.#length + digits;
    // Divided as a double down to 32 bits, then as an integer.
    while (rest > 0xffff_ffff) {
      const next = Math.floor(rest / 10);
      at -= 1;
      this.#bytes[at] = 0x30 + (rest - next * 10);
      rest = next;
    }
    rest >>>= 0;
    do {
      const next = Math.floor(rest / 10);
      at -= 1;
      this.#bytes[at] = 0x30 + (rest - next * 10);
      rest = next;
    } while (rest > 0);
    this.#length += digits;
  }

  #packedInteger(value: number): void {
    this.#room(9);
    if (value < 0x80) {
      this.#byte(value);
      return;
    }
    const isShort = value <= 0xffff_ffff;
    this.#byte(isShort ? 0xce : 0xcf);
    if (isShort) this.#length = this.#bytes.writeUInt32BE(value, this.#length);
    else {
      this.#bytes.writeUInt32BE(Math.floor(value / 2 ** 32), this.#length);
      this.#length = this.#bytes.writeUInt32BE(value % 2 ** 32, this.#length + 4);
    }
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#length + bytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** Up to here a loop is faster than the library's copy. */
const shortBytes = 16;
const trueBytes = Buffer.from('true');
const falseBytes = Buffer.from('false');
