import { tagLengthMax, tagsMax } from '#shared/protocol/limits.ts';
import { closeObject, colon, comma, openObject, quote } from '#shared/protocol/json-bytes.ts';
import { endOfString, endOfValue, skipSpace } from '#shared/protocol/json-places.ts';
import { BackwardWriter } from './protobuf.ts';

/** A value whose place is known, between bytes that are. */
export interface Slot {
  /** `instant` and `date` are a timestamp in milliseconds and one in text. */
  readonly role: 'message' | 'level' | 'source' | 'instant' | 'date' | 'attribute';
  readonly type: 'text' | 'number' | 'boolean';
  /** Of an attribute: its name as the first field of a protobuf KeyValue. */
  readonly name: Buffer;
}

/** What the log records of one line of a program have in common. */
export interface Shape {
  /** All bytes but for those of the values. */
  readonly bytes: Uint8Array;
  /** Where the bytes before each slot end. */
  readonly ends: readonly number[];
  readonly slots: readonly Slot[];
  /** Of `slots`. */
  readonly message: number;
  readonly attributes: readonly number[];
}

/**
 * The shape of a log record that was decoded and found good.
 * @param record its bytes, from brace to brace
 * @returns undefined where another record of this shape might not be what it seems: names that are escaped, doubled, in
 * the order of numbers or special to JavaScript, and values that are more than one
 */
export function shapeOf(record: Uint8Array): Shape | undefined {
  const making = new ShapeMaking(record);
  return making.object(0, (name, at) => making.member(name, at)) === record.length
    ? making.shape()
    : undefined;
}

/** One walk over a record. Everything gives where it ends, or -1. */
class ShapeMaking {
  readonly #record: Uint8Array;
  readonly #writer = new BackwardWriter(1_024);
  readonly #slots: Slot[] = [];
  readonly #ends: number[] = [];
  readonly #parts: Uint8Array[] = [];
  #literalStart = 0;
  #literalBytes = 0;

  constructor(record: Uint8Array) {
    this.#record = record;
  }

  shape(): Shape | undefined {
    this.#parts.push(this.#record.subarray(this.#literalStart));
    const places = (role: Slot['role']) =>
      this.#slots.flatMap((slot, index) => (slot.role === role ? [index] : []));
    const [message] = places('message');
    if (message === undefined) return undefined;
    const attributes = places('attribute');
    return { bytes: Buffer.concat(this.#parts), ends: this.#ends, slots: this.#slots, message, attributes };
  }

  object(start: number, member: (name: string, at: number) => number): number {
    const record = this.#record;
    const names = new Set<string>();
    if (record[start] !== openObject) return -1;
    let at = skipSpace(record, start + 1);
    if (record[at] === closeObject) return at + 1;
    for (;;) {
      const nameEnd = endOfString(record, at);
      if (nameEnd < 0) return -1;
      const name = nameOf(record.subarray(at + 1, nameEnd - 1));
      if (name === undefined || names.has(name)) return -1;
      names.add(name);
      at = skipSpace(record, nameEnd);
      if (record[at] !== colon) return -1;
      at = member(name, skipSpace(record, at + 1));
      if (at < 0) return -1;
      at = skipSpace(record, at);
      if (record[at] === closeObject) return names.size > tagsMax ? -1 : at + 1;
      if (record[at] !== comma) return -1;
      at = skipSpace(record, at + 1);
    }
  }

  /** A member of the record itself. */
  member(name: string, at: number): number {
    const isText = this.#record[at] === quote;
    switch (name) {
      case 'message':
      case 'level':
      case 'source':
        return isText ? this.#slot({ role: name, type: 'text', name: noName }, at) : -1;
      case 'timestamp':
        return isText
          ? this.#slot({ role: 'date', type: 'text', name: noName }, at)
          : this.#slot({ role: 'instant', type: 'number', name: noName }, at);
      case 'attributes':
        return this.object(at, (attribute, valueAt) => this.#attribute(attribute, valueAt));
      default:
        return -1;
    }
  }

  #attribute(name: string, at: number): number {
    const type = typeOf(String.fromCharCode(this.#record[at] ?? 0));
    if (type === undefined) return -1;
    this.#writer.textField(1, name);
    return this.#slot({ role: 'attribute', type, name: Buffer.from(this.#writer.take()) }, at);
  }

  /** Ends the bytes that stay before a value, and goes on with them behind it. */
  #slot(slot: Slot, at: number): number {
    const end = endOfValue(this.#record, at);
    if (end < 0) return -1;
    const quotes = slot.type === 'text' ? 1 : 0;
    const literal = this.#record.subarray(this.#literalStart, at + quotes);
    this.#parts.push(literal);
    this.#literalBytes += literal.length;
    this.#ends.push(this.#literalBytes);
    this.#slots.push(slot);
    this.#literalStart = end - quotes;
    return end;
  }
}

const noName = Buffer.alloc(0);

/** By the first character of a value. */
function typeOf(first: string): Slot['type'] | undefined {
  if (first === '"') return 'text';
  if (first === 't' || first === 'f') return 'boolean';
  return /[-0-9]/.test(first) ? 'number' : undefined;
}

/** Names that are plain ASCII, and that objects of JavaScript keep as they are, in the order in which they came. */
function nameOf(bytes: Uint8Array): string | undefined {
  const name = Buffer.from(bytes).toString('latin1');
  const isUsual = /^[\x20-\x7e]+$/.test(name) && !name.includes('\\') && name.length <= tagLengthMax;
  return isUsual && !/^\d+$/.test(name) && name !== '__proto__' ? name : undefined;
}
