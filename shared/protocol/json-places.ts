import {
  backslash,
  closeArray,
  closeObject,
  comma,
  isSpace,
  openArray,
  openObject,
  quote,
} from './json-bytes.ts';

// Where things end in JSON, without decoding it. It is no validator: what lies between is for the decoder.

/** The next byte that is none of JSON's spaces. */
export function skipSpace(body: Uint8Array, start: number): number {
  let at = start;
  while (isSpace(body[at])) at += 1;
  return at;
}

/** Behind the closing quote of the string that begins at `start`; -1 where there is none. */
export function endOfString(body: Uint8Array, start: number): number {
  if (body[start] !== quote) return -1;
  for (let at = start + 1; at < body.length; at += 1) {
    if (body[at] === quote) return at + 1;
    if (body[at] === backslash) at += 1;
  }
  return -1;
}

/** Behind the value that begins at `start`; -1 where the body ends before. */
export function endOfValue(body: Uint8Array, start: number): number {
  let depth = 0;
  for (let at = start; at < body.length; at += 1) {
    switch (body[at]) {
      case quote:
        at = endOfString(body, at) - 1;
        if (at < 0) return -1;
        if (depth === 0) return at + 1;
        break;
      case openObject:
      case openArray:
        depth += 1;
        break;
      case closeObject:
      case closeArray:
        if (depth === 0) return at;
        depth -= 1;
        if (depth === 0) return at + 1;
        break;
      case comma:
      case 0x20:
      case 0x0a:
      case 0x0d:
      case 0x09:
        // Of a number or a word it is the end, and the caller says what may follow.
        if (depth === 0) return at;
        break;
      default:
        break;
    }
  }
  return -1;
}
