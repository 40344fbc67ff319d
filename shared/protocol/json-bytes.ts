// The bytes that JSON is written with (RFC 8259).
export const quote = 0x22;
export const backslash = 0x5c;
export const comma = 0x2c;
export const colon = 0x3a;
export const plus = 0x2b;
export const minus = 0x2d;
export const point = 0x2e;
export const zero = 0x30;
export const openArray = 0x5b;
export const closeArray = 0x5d;
export const openObject = 0x7b;
export const closeObject = 0x7d;

export const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
export const isDigit = (byte: number | undefined): byte is number =>
  byte !== undefined && byte >= zero && byte <= 0x39;

export const bytesOf = (text: string): readonly number[] => Array.from(text, (one) => one.charCodeAt(0));

/** A digit as a number; NaN where there is none. */
export function digit(body: Uint8Array, at: number): number {
  const byte = body[at];
  return isDigit(byte) ? byte - zero : Number.NaN;
}

/** Two digits as a number; NaN where they are none. */
export const twoDigits = (body: Uint8Array, at: number): number => digit(body, at) * 10 + digit(body, at + 1);

/** Whether these are the bytes at `start`. */
export function isNamed(body: Uint8Array, start: number, name: readonly number[]): boolean {
  for (let index = 0; index < name.length; index += 1) if (body[start + index] !== name[index]) return false;
  return true;
}
