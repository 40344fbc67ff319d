import { isUtf8 } from 'node:buffer';
import type { Span } from './json-spans.ts';

// Where the parts of a MessagePack message stand, by the heads of the format alone: nothing is decoded, so values of
// any extension type pass. Broken lengths end the walk: the decoder then says what is wrong.
// Source: the MessagePack specification, github.com/msgpack/msgpack/blob/master/spec.md.

/** Hears of each member of a map: where its name stands, with its head, and its value. */
export type VisitMember = (name: Span, value: Span) => void;

/** Goes over the map that begins at `start`, in order; not at all when something else begins there. */
export function visitPackedMembers(bytes: Uint8Array, start: number, visit: VisitMember): void {
  if (kindAt(bytes, start) !== isMap) return;
  let at = headEnd(bytes, start);
  for (let left = countAt(bytes, start); left > 0; left -= 1) {
    const valueStart = skipPackedValue(bytes, at);
    const end = valueStart === cutOff ? cutOff : skipPackedValue(bytes, valueStart);
    if (end === cutOff) return;
    visit({ start: at, end: valueStart }, { start: valueStart, end });
    at = end;
  }
}

/** Goes over the list that begins at `start`; `visit` hears where each element begins. */
export function visitPackedElements(bytes: Uint8Array, start: number, visit: (start: number) => void): void {
  if (kindAt(bytes, start) !== isList) return;
  let at = headEnd(bytes, start);
  for (let left = countAt(bytes, start); left > 0; left -= 1) {
    const end = skipPackedValue(bytes, at);
    if (end === cutOff) return;
    visit(at);
    at = end;
  }
}

/** Whether a member's name is this text of at most 31 ASCII characters, whatever form of string it stands in. */
export function isPackedName(bytes: Uint8Array, { start, end }: Span, name: string): boolean {
  const type = bytes[start] ?? 0;
  const textStart = end - name.length;
  if (!isString(type) || textStart !== headEnd(bytes, start)) return false;
  for (let index = 0; index < name.length; index += 1)
    if (bytes[textStart + index] !== name.charCodeAt(index)) return false;
  return true;
}

/**
 * What is wrong in a message though a decoder reads it: the byte 0xc1, which stands for nothing, and strings that are no
 * UTF-8, which would become other strings. Not looked for inside of extensions: their bodies are their types' affair.
 * @returns undefined where nothing is wrong, or what a decoder finds by itself; never throws; O(size)
 */
export function packedFault(bytes: Uint8Array): string | undefined {
  let at = 0;
  while (at < bytes.length) {
    const type = bytes[at] ?? 0;
    if (type < 0xa0 || type >= 0xe0) {
      at += 1;
      continue;
    }
    if (type === 0xc1) return 'it holds the byte 0xc1, which has no meaning';
    const head = headEnd(bytes, at);
    at = kindAt(bytes, at) === isScalar ? head + bodyBytes(bytes, at) : head;
    if (isString(type) && !isText(bytes, head, at)) return 'a string in it is not UTF-8';
  }
  return undefined;
}

const isString = (type: number): boolean => (type >= 0xa0 && type < 0xc0) || (type >= 0xd9 && type <= 0xdb);

/** Most strings are short and ASCII: to look at those here costs less than to ask for it. */
function isText(bytes: Uint8Array, start: number, end: number): boolean {
  const asciiEnd = Math.min(end, start + 160);
  let at = start;
  while (at < asciiEnd && (bytes[at] ?? 0) < 0x80) at += 1;
  return at >= end || isUtf8(bytes.subarray(start, end));
}

const cutOff = -1;

/** Past the value at `start`, however deep it is; -1 when the message ends before it does. */
export function skipPackedValue(bytes: Uint8Array, start: number): number {
  let at = start;
  for (let values = 1; values > 0; values -= 1) {
    if (at >= bytes.length) return cutOff;
    const kind = kindAt(bytes, at);
    if (kind === isList) values += countAt(bytes, at);
    if (kind === isMap) values += 2 * countAt(bytes, at);
    const head = headEnd(bytes, at);
    at = kind === isScalar && (bytes[at] ?? 0) >= 0xa0 ? head + bodyBytes(bytes, at) : head;
    if (at > bytes.length) return cutOff;
  }
  return at;
}

const [isScalar, isList, isMap] = [0, 1, 2];

function kindAt(bytes: Uint8Array, at: number): number {
  const type = bytes[at] ?? 0;
  if (type < 0x80 || type >= 0xe0) return isScalar;
  if (type < 0x90) return isMap;
  if (type < 0xa0) return isList;
  return type < 0xc0 ? isScalar : (kinds[type - 0xc0] ?? isScalar);
}

/** Past the type and the length or count behind it. */
function headEnd(bytes: Uint8Array, at: number): number {
  const type = bytes[at] ?? 0;
  return type < 0xc0 || type >= 0xe0 ? at + 1 : at + 1 + (lengthBytes[type - 0xc0] ?? 0);
}

/** Members of the map, or elements of the list, whose head is at `at`. */
function countAt(bytes: Uint8Array, at: number): number {
  const type = bytes[at] ?? 0;
  return type < 0xa0 ? type & 0x0f : unsigned(bytes, at + 1, lengthBytes[type - 0xc0] ?? 0);
}

/** Bytes behind the head of a scalar. */
function bodyBytes(bytes: Uint8Array, at: number): number {
  const type = bytes[at] ?? 0;
  if (type >= 0xe0) return 0;
  if (type < 0xc0) return type & 0x1f;
  const length = lengthBytes[type - 0xc0] ?? 0;
  return (fixedBytes[type - 0xc0] ?? 0) + (length === 0 ? 0 : unsigned(bytes, at + 1, length));
}

function unsigned(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let index = 0; index < length; index += 1) value = value * 256 + (bytes[at + index] ?? 0);
  return value;
}

// The types from 0xc0 to 0xdf, in order: nil, unused, false, true; bytes; extensions with a length, which have a byte
// for their own type, too; floats and integers; extensions of fixed length; strings; lists; maps.

/** Bytes of the length, or of the count, behind the type. */
// prettier-ignore
const lengthBytes = Uint8Array.of(
  0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4,
);

/** Bytes that always follow. */
// prettier-ignore
const fixedBytes = Uint8Array.of(
  0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0,
);

const kinds = Uint8Array.from(lengthBytes, (_length, type) => {
  if (type < 0x1c) return isScalar;
  return type < 0x1e ? isList : isMap;
});
