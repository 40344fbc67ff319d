import { Packr } from 'msgpackr';
import { type Result, accept, refuse } from './errors.ts';
import { parseExactly } from './exact-json.ts';
import { packedFault } from './msgpack-spans.ts';
import { richValue } from './rich-values.ts';

/** The two encodings of the wire. */
export type Encoding = 'application/json' | 'application/msgpack';

export const json: Encoding = 'application/json';
export const msgpack: Encoding = 'application/msgpack';

// No shared structures on the wire: every message is readable alone, by any MessagePack library.
// `auto` (missing in the library's types): an integer beyond 2^53 becomes bigint, so that no value changes silently.
// `variableMapSize`: the library's short form throws at 65,536 members, and takes three bytes for a map of one.
const options = { useRecords: false, mapsAsObjects: true, int64AsType: 'auto', variableMapSize: true };
const packr = new Packr(options as ConstructorParameters<typeof Packr>[0]);
const textEncoder = new TextEncoder();
// `fatal`: invalid UTF-8 is refused, never replaced by U+FFFD.
const textDecoder = new TextDecoder('utf-8', { fatal: true });

/** The media type that a `Content-Type` names, in lower case and without parameters; '' where it names none. */
export const mediaTypeOf = (contentType = ''): string =>
  contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';

/** The encoding that a header names: JSON when there is none, undefined when it is one we do not speak. */
export function encodingOf(contentType: string | undefined): Encoding | undefined {
  if (contentType === undefined || contentType === '') return json;
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === json || mediaType === msgpack) return mediaType;
  return undefined;
}

/**
 * Decodes a request's or reply's body.
 * @returns the value, `undefined` for an empty body, or `invalid_request`; never throws; O(size)
 */
export function decode(body: Uint8Array, encoding: Encoding): Result<unknown> {
  return decodeWith(JSON.parse, body, encoding);
}

/** As `decode`; numbers of JSON that JavaScript cannot hold are passed on as they are written (`parseExactly`). */
export function decodeExactly(body: Uint8Array, encoding: Encoding): Result<unknown> {
  return decodeWith(parseExactly, body, encoding);
}

function decodeWith(parse: (text: string) => unknown, body: Uint8Array, encoding: Encoding): Result<unknown> {
  if (body.length === 0) return accept(undefined);
  try {
    if (encoding === msgpack) return unpacked(body);
    return accept(parse(textDecoder.decode(body)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return notOf(encoding, reason);
  }
}

function unpacked(body: Uint8Array): Result<unknown> {
  const fault = packedFault(body);
  return fault === undefined ? accept(packr.unpack(body) as unknown) : notOf(msgpack, fault);
}

/** A body that is not of its encoding. */
export const notOf = (encoding: Encoding, reason: string): Result<never> =>
  refuse('invalid_request', `the body is not ${encoding === msgpack ? 'MessagePack' : 'JSON'}: ${reason}`, {
    field: 'body',
  });

/** Encodes a value. A value that JSON cannot carry becomes what it can: bytes base64, big integers digits, maps and sets lists. */
export function encode(value: unknown, encoding: Encoding): Uint8Array {
  if (encoding === msgpack) return packr.pack(richValue(value));
  return textEncoder.encode(jsonText(value));
}

/** A value as JSON text, with the mapping of `encode`. Throws where JSON.stringify does: on a cycle, on nesting too deep. */
export const jsonText = (value: unknown): string =>
  // A replacer is called for every value and costs ten times what the writing does: only where there is need of one.
  isPlain(value) ? JSON.stringify(value) : JSON.stringify(value ?? null, jsonReplacer);

/** Deeper values are left to the replacer, which also knows a cycle for what it is. */
const plainLevelsMax = 32;

/** True for what JSON.stringify writes as `jsonText` should: no bytes, no big integers, no classes. */
function isPlain(value: unknown, levelsLeft = plainLevelsMax): boolean {
  if (value === null) return true;
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      return true;
    case 'object':
      return levelsLeft > 0 && isPlainObject(value, levelsLeft - 1);
    default:
      return false;
  }
}

function isPlainObject(value: object, levelsLeft: number): boolean {
  if (Array.isArray(value)) return value.every((element) => isPlain(element, levelsLeft));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const key in value) {
    const member = (value as Readonly<Record<string, unknown>>)[key];
    // A member that is undefined is left out, in the one way as in the other.
    if (member !== undefined && !isPlain(member, levelsLeft)) return false;
  }
  return true;
}

// The holder (`this`) is asked and not the value: JSON.stringify has called a Buffer's own toJSON before us.
function jsonReplacer(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  const held = (this as Readonly<Record<string, unknown>>)[key];
  if (held instanceof Uint8Array) return Buffer.from(held).toString('base64');
  if (held instanceof Map || held instanceof Set) return [...(held as Iterable<unknown>)];
  return value;
}
