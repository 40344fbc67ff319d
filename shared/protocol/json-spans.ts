import { backslash, closeArray, comma, openArray, openObject, quote } from './json-bytes.ts';
import { endOfString, endOfValue, skipSpace } from './json-places.ts';

/** A part of a text or of bytes: from `start`, up to and without `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

// Where the parts of a JSON text stand, in its bytes. The text must be valid: it has been parsed before it comes here.

/** Hears of each member of an object: where its name stands, with its quotes, and its value. */
export type VisitMember = (name: Span, value: Span) => void;

/** Goes over the object that begins at or after `start`; returns its end, or `start` when something else begins there. */
export function visitMembers(bytes: Uint8Array, start: number, visit: VisitMember): number {
  let at = skipSpace(bytes, start);
  if (bytes[at] !== openObject) return start;
  at = skipSpace(bytes, at + 1);
  while (bytes[at] === quote) {
    const nameEnd = within(bytes, endOfString(bytes, at));
    const valueStart = skipSpace(bytes, skipSpace(bytes, nameEnd) + 1);
    const end = skipJsonValue(bytes, valueStart);
    visit({ start: at, end: nameEnd }, { start: valueStart, end });
    at = skipSeparator(bytes, end);
  }
  return at + 1;
}

/** The elements of the array that begins at or after `start`; `visit` returns the end of the one that begins there. */
export function visitElements(bytes: Uint8Array, start: number, visit: (start: number) => number): void {
  let at = skipSpace(bytes, start);
  if (bytes[at] !== openArray) return;
  at = skipSpace(bytes, at + 1);
  while (at < bytes.length && bytes[at] !== closeArray) at = skipSeparator(bytes, visit(at));
}

/** The name of a member, which may be written with escapes. */
export function isNamed(bytes: Uint8Array, { start, end }: Span, name: string): boolean {
  if (end - start === name.length + 2) {
    let index = 0;
    while (index < name.length && bytes[start + 1 + index] === name.charCodeAt(index)) index += 1;
    return index === name.length;
  }
  for (let at = start; at < end; at += 1)
    if (bytes[at] === backslash) return JSON.parse(textOf(bytes, start, end)) === name;
  return false;
}

const textOf = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString();

export const skipJsonValue = (bytes: Uint8Array, start: number): number =>
  within(bytes, endOfValue(bytes, start));

/** What does not end before the bytes do ends with them: nothing goes on for ever, whatever the bytes are. */
const within = (bytes: Uint8Array, end: number): number => (end < 0 ? bytes.length : end);

/** Past a comma and the blanks around it, to what follows or to the closing bracket. */
function skipSeparator(bytes: Uint8Array, start: number): number {
  const at = skipSpace(bytes, start);
  return bytes[at] === comma ? skipSpace(bytes, at + 1) : at;
}
