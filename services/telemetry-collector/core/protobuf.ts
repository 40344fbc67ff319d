// Protocol Buffers' wire format, as much of it as OTLP needs.
// Source: protobuf.dev, "Encoding". Groups (wire types 3 and 4) are in no OTLP message and are refused.

/** Wire types. */
export const varintType = 0;
export const fixed64Type = 1;
export const bytesType = 2;
export const fixed32Type = 5;

/** Bytes that are no protobuf message, or not the one that was expected. */
export class ProtobufFault extends Error {}

const two32 = 4_294_967_296;

/** Reads fields one after the other; every overrun throws `ProtobufFault`. */
export class ProtobufReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  /** Of the last tag. */
  field = 0;
  wire = 0;
  /** Of the last varint beyond 32 bits. */
  high = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /** Reads the next tag into `field` and `wire`. @returns false at the end of the message */
  next(): boolean {
    if (this.at >= this.end) return false;
    const tag = this.varint32();
    this.field = tag >>> 3;
    this.wire = tag & 7;
    if (this.field === 0) throw new ProtobufFault('a field has the number 0');
    return true;
  }

  /** The low 32 bits of a varint; its upper ones go into `high`. */
  varint32(): number {
    const { bytes, end } = this;
    let low = 0;
    this.high = 0;
    for (let index = 0; index < 10; index += 1) {
      if (this.at >= end) throw new ProtobufFault('it ends within a number');
      const byte = bytes[this.at] ?? 0;
      this.at += 1;
      const bits = byte & 0x7f;
      if (index < 4) low |= bits << (7 * index);
      else if (index === 4) {
        low |= bits << 28;
        this.high = bits >>> 4;
      } else this.high |= bits << (7 * index - 32);
      if (byte < 0x80) return low >>> 0;
    }
    throw new ProtobufFault('a number is longer than ten bytes');
  }

  /** Reads a length and moves behind that many bytes. @returns where they begin; they end at `at` */
  delimited(): number {
    const length = this.varint32();
    const start = this.at;
    if (this.high !== 0 || length > this.end - start)
      throw new ProtobufFault('a field is longer than its message');
    this.at = start + length;
    return start;
  }

  /** A 64-bit number as a decimal text. */
  int64(signed: boolean): string {
    const low = this.varint32();
    return decimal(low, this.high >>> 0, signed);
  }

  fixed32(): number {
    const { bytes, at } = this;
    if (at + 4 > this.end) throw new ProtobufFault('it ends within a number');
    this.at = at + 4;
    return (
      ((bytes[at] ?? 0) |
        ((bytes[at + 1] ?? 0) << 8) |
        ((bytes[at + 2] ?? 0) << 16) |
        ((bytes[at + 3] ?? 0) << 24)) >>>
      0
    );
  }

  fixed64(signed: boolean): string {
    const low = this.fixed32();
    return decimal(low, this.fixed32(), signed);
  }

  double(): number {
    const at = this.at;
    if (at + 8 > this.end) throw new ProtobufFault('it ends within a number');
    this.at = at + 8;
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + at, 8).getFloat64(0, true);
  }

  /** Moves behind the value of the last tag. */
  skip(): void {
    if (this.wire === bytesType) this.delimited();
    else if (this.wire === varintType) this.varint32();
    else if (this.wire === fixed64Type) this.#advance(8);
    else if (this.wire === fixed32Type) this.#advance(4);
    else throw new ProtobufFault(`there is no wire type ${this.wire}`);
  }

  #advance(count: number): void {
    if (this.at + count > this.end) throw new ProtobufFault('it ends within a number');
    this.at += count;
  }
}

function decimal(low: number, high: number, signed: boolean): string {
  // Exact as a number up to 2^53, which is what nearly all are.
  if (high < 0x20_0000) return String(high * two32 + low);
  const value = (BigInt(high) << 32n) | BigInt(low);
  return (signed ? BigInt.asIntN(64, value) : value).toString();
}

/**
 * Writes a message from its last byte to its first: the length of what is nested is known when it is due, so that
 * everything is written once and no length has to be estimated before.
 */
export class BackwardWriter {
  #bytes: Buffer;
  #at: number;

  constructor(size = 65_536) {
    this.#bytes = Buffer.allocUnsafeSlow(size);
    this.#at = size;
  }

  /** Bytes that are written. */
  get length(): number {
    return this.#bytes.length - this.#at;
  }

  tag(field: number, wire: number): void {
    this.varint(field * 8 + wire);
  }

  /** A whole number from 0 to 2^53. */
  varint(value: number): void {
    this.#reserve(10);
    if (value < 0x80) {
      this.#at -= 1;
      this.#bytes[this.#at] = value;
      return;
    }
    let size = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
    this.#at -= size;
    let rest = value;
    for (let index = 0; index < size; index += 1) {
      const next = Math.floor(rest / 0x80);
      this.#bytes[this.#at + index] = (rest - next * 0x80) | (index === size - 1 ? 0 : 0x80);
      rest = next;
    }
  }

  /** Any whole number that an int64 holds; negative ones take ten bytes, as protobuf wants it. */
  int64(value: number): void {
    if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) this.varint(value);
    else this.bigVarint(BigInt.asUintN(64, BigInt(value)));
  }

  bigVarint(value: bigint): void {
    const groups: number[] = [];
    let rest = value;
    do {
      groups.push(Number(rest & 0x7fn));
      rest >>= 7n;
    } while (rest > 0n);
    this.#reserve(groups.length);
    this.#at -= groups.length;
    for (const [index, bits] of groups.entries())
      this.#bytes[this.#at + index] = bits | (index === groups.length - 1 ? 0 : 0x80);
  }

  fixed32(value: number): void {
    this.#reserve(4);
    this.#at -= 4;
    const bytes = this.#bytes;
    const at = this.#at;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
  }

  fixed64(low: number, high: number): void {
    this.fixed32(high);
    this.fixed32(low);
  }

  bigFixed64(value: bigint): void {
    this.fixed64(Number(value & 0xffff_ffffn), Number((value >> 32n) & 0xffff_ffffn));
  }

  double(value: number): void {
    this.#reserve(8);
    this.#at -= 8;
    this.#bytes.writeDoubleLE(value, this.#at);
  }

  /** Bytes as they are, without a length. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#at -= bytes.length;
    this.#bytes.set(bytes, this.#at);
  }

  /** A part of other bytes, without a length. */
  copy(from: Buffer, start: number, end: number): void {
    const count = end - start;
    this.#reserve(count);
    this.#at -= count;
    const bytes = this.#bytes;
    // A few bytes are quicker by hand than through a call into the runtime.
    if (count <= shortCopy)
      for (let index = 0; index < count; index += 1) bytes[this.#at + index] = from[start + index] ?? 0;
    else from.copy(bytes, this.#at, start, end);
  }

  /** Text in UTF-8, without a length. Well-formed text is expected: see `attributeValue`. */
  text(value: string): void {
    if (value.length <= shortText && this.#ascii(value)) return;
    const size = Buffer.byteLength(value);
    this.#reserve(size);
    this.#at -= size;
    this.#bytes.write(value, this.#at, size, 'utf8');
  }

  textField(field: number, value: string): void {
    const before = this.length;
    this.text(value);
    this.delimit(field, before);
  }

  bytesField(field: number, value: Uint8Array): void {
    this.raw(value);
    this.varint(value.length);
    this.tag(field, bytesType);
  }

  /** Makes what was written since the length was `before` the value of a field. */
  delimit(field: number, before: number): void {
    this.varint(this.length - before);
    this.tag(field, bytesType);
  }

  /** What is written, as bytes of its own; then nothing is. */
  take(): Uint8Array {
    const taken = Uint8Array.prototype.slice.call(this.#bytes, this.#at);
    this.#at = this.#bytes.length;
    return taken;
  }

  /** Short ASCII is quicker by hand than through a call into the runtime. */
  #ascii(value: string): boolean {
    this.#reserve(value.length);
    let at = this.#at;
    for (let index = value.length - 1; index >= 0; index -= 1) {
      const code = value.charCodeAt(index);
      if (code >= 0x80) return false;
      at -= 1;
      this.#bytes[at] = code;
    }
    this.#at = at;
    return true;
  }

  #reserve(count: number): void {
    if (count <= this.#at) return;
    const used = this.length;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, used + count));
    this.#bytes.copy(grown, grown.length - used, this.#at);
    this.#at = grown.length - used;
    this.#bytes = grown;
  }
}

const shortText = 48;
const shortCopy = 48;
