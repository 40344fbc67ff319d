import { type Encoding, decode, decodeExactly, encode, json, msgpack } from '#shared/protocol/encoding.ts';
import { type Result, accept } from '#shared/protocol/errors.ts';
import { countable, holdsExactNumbers } from '#shared/protocol/exact-json.ts';
import { holdsHalves, mayHoldHalves, wellFormed } from '#shared/protocol/half-pairs.ts';

// Results and progress are kept as MessagePack, whatever they came in. MessagePack has no numbers of any size, and
// JSON has, and it has no halves of surrogate pairs, which a text has that was cut in the middle of an emoji, and is read
// without members called `__proto__`: a value with one of those is kept as its JSON text, in an extension of ours.

/** Of 32 bits of length, whatever the length is: nothing else that is kept begins so, and is a value of one of ours. */
const jsonHead = 0xc9;
const jsonType = 0x13;
const headBytes = 6;

/** A value as `decode` or `decodeExactly` gave it, as bytes from which `shownValue` makes it again. */
export function keptValue(value: unknown): Uint8Array {
  if (!holdsExactNumbers(value) && !holdsHalves(value) && !holdsPrototypeName(value))
    return encode(value, msgpack);
  const text = Buffer.from(JSON.stringify(value));
  const kept = Buffer.allocUnsafe(headBytes + text.length);
  kept.writeUInt8(jsonHead, 0);
  kept.writeUInt32BE(text.length, 1);
  kept.writeUInt8(jsonType, 5);
  text.copy(kept, headBytes);
  return kept;
}

/** A member of this name gets another one when MessagePack is read (by msgpackr). O(size) */
function holdsPrototypeName(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return false;
  if (Array.isArray(value)) return value.some(holdsPrototypeName);
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(holdsPrototypeName);
}

/** A kept value for a reply: in JSON with every digit that it came with. */
export function shownValue(bytes: Uint8Array, encoding: Encoding): unknown {
  if (isJson(bytes)) return jsonValue(bytes.subarray(headBytes), encoding);
  const decoded = decode(bytes, msgpack);
  return decoded.ok ? decoded.value : bytes;
}

const isJson = (bytes: Uint8Array): boolean => bytes[0] === jsonHead && bytes[5] === jsonType;

/**
 * The value of a JSON text for a reply: in JSON with every digit as it was written; in MessagePack as that can carry it,
 * which would be unreadable with half of a surrogate pair in it.
 */
export function jsonValue(text: Uint8Array, encoding: Encoding): unknown {
  const decoded = encoding === json ? decodeExactly(text, json) : decode(text, json);
  if (!decoded.ok) return text;
  return encoding !== json && mayHoldHalves(text) ? wellFormed(decoded.value) : decoded.value;
}

/** A request that holds payloads: of those every digit is kept, all other numbers are to be counted with. */
export function decodeWithPayloads(data: Uint8Array, encoding: Encoding): Result<unknown> {
  const exact = decodeExactly(data, encoding);
  return exact.ok && encoding === json ? accept(countable(exact.value, 'payload')) : exact;
}

/** Where the values stand that are kept as they come. */
const valueOf: Readonly<Record<string, string>> = { complete: 'result', extend: 'progress' };

/**
 * Puts every digit back into the results and the progress of a request in JSON, which was read as JavaScript reads it:
 * tokens and durations are to be numbers, however they are written.
 */
export function withExactValues(operation: string, data: Uint8Array, body: unknown): unknown {
  const name = valueOf[operation];
  if (name === undefined || !mentions(data, name)) return body;
  const exact = decodeExactly(data, json);
  if (!exact.ok) return body;
  graft(body, exact.value, name);
  const [items, exactItems] = [member(body, 'items'), member(exact.value, 'items')];
  if (Array.isArray(items) && Array.isArray(exactItems))
    for (const [index, item] of items.entries()) graft(item, exactItems[index], name);
  return body;
}

/** Names with escapes are taken for any. */
const mentions = (data: Uint8Array, name: string): boolean => {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return bytes.includes(`"${name}"`) || bytes.includes('\\u');
};

function graft(item: unknown, exact: unknown, name: string): void {
  if (isObject(item) && isObject(exact) && Object.hasOwn(item, name)) item[name] = exact[name];
}

const member = (value: unknown, name: string): unknown => (isObject(value) ? value[name] : undefined);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
