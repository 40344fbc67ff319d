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
  let at = skipBlanks(bytes, start);
  if (bytes[at] !== openObject) return start;
  at = skipBlanks(bytes, at + 1);
  while (bytes[at] === quote) {
    const nameEnd = skipString(bytes, at);
    const valueStart = skipBlanks(bytes, skipBlanks(bytes, nameEnd) + 1);
    const end = skipJsonValue(bytes, valueStart);
    visit({ start: at, end: nameEnd }, { start: valueStart, end });
    at = skipSeparator(bytes, end);
  }
  return at + 1;
}

/** The elements of the array that begins at or after `start`; `visit` returns the end of the one that begins there. */
export function visitElements(bytes: Uint8Array, start: number, visit: (start: number) => number): void {
  let at = skipBlanks(bytes, start);
  if (bytes[at] !== openList) return;
  at = skipBlanks(bytes, at + 1);
  while (at < bytes.length && bytes[at] !== closeList) at = skipSeparator(bytes, visit(at));
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

const [quote, backslash, openList, closeList, openObject, closeObject] = [0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d];

export function skipJsonValue(bytes: Uint8Array, start: number): number {
  const first = bytes[start];
  if (first === quote) return skipString(bytes, start);
  if (first !== openList && first !== openObject) return skipWord(bytes, start);
  let depth = 0;
  let at = start;
  do {
    const byte = bytes[at];
    if (byte === openList || byte === openObject) depth += 1;
    if (byte === closeList || byte === closeObject) depth -= 1;
    at = byte === quote ? skipString(bytes, at) : at + 1;
  } while (depth > 0 && at < bytes.length);
  return at;
}

/** Past the string that begins with the quote at `start`. */
function skipString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte === quote) return at + 1;
    at += byte === backslash ? 2 : 1;
  }
  return at;
}

/** Past a number, `true`, `false` or `null`. */
function skipWord(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length && !isEnd(bytes[at] ?? 0)) at += 1;
  return at;
}

const isEnd = (byte: number): boolean =>
  byte === 0x2c || byte === closeList || byte === closeObject || isBlank(byte);

/** Past a comma and the blanks around it, to what follows or to the closing bracket. */
function skipSeparator(bytes: Uint8Array, start: number): number {
  const at = skipBlanks(bytes, start);
  return bytes[at] === 0x2c ? skipBlanks(bytes, at + 1) : at;
}

function skipBlanks(bytes: Uint8Array, start: number): number {
  let at = start;
  while (isBlank(bytes[at] ?? 0)) at += 1;
  return at;
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
