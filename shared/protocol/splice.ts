import { type Encoding, encode, json, jsonText } from './encoding.ts';

/** A value that is encoded already: JSON text, or MessagePack bytes. */
export type Encoded = string | Uint8Array;

// Objects and lists around parts that are encoded already, so that a stored value goes out as the bytes it came in.
// All parts of one call are in the encoding that the call names.

export const encodePart = (value: unknown, encoding: Encoding): Encoded =>
  encoding === json ? jsonText(value) : encode(value, encoding);

/**
 * An object of encoded values.
 * @param fields at most 15 names of at most 31 characters of ASCII each: what MessagePack heads with one byte
 */
export function spliceObject(fields: readonly (readonly [string, Encoded])[], encoding: Encoding): Encoded {
  if (encoding === json) return `{${fields.map(([name, value]) => `"${name}":${String(value)}`).join(',')}}`;
  const parts = fields.flatMap(([name, value]) => [
    Buffer.from([0xa0 + name.length]),
    Buffer.from(name),
    bytesOf(value),
  ]);
  return Buffer.concat([Buffer.from([0x80 + fields.length]), ...parts]);
}

/** A list of encoded values, of any length. */
export function spliceList(items: readonly Encoded[], encoding: Encoding): Encoded {
  if (encoding === json) return `[${items.join(',')}]`;
  return Buffer.concat([listHead(items.length), ...items.map(bytesOf)]);
}

/** MessagePack's `fixarray` or `array 32`. */
function listHead(length: number): Uint8Array {
  if (length < 16) return Buffer.from([0x90 + length]);
  const head = Buffer.alloc(5);
  head[0] = 0xdd;
  head.writeUInt32BE(length, 1);
  return head;
}

/** Bytes of an encoded value on the wire. */
export const encodedBytes = (value: Encoded): number =>
  typeof value === 'string' ? Buffer.byteLength(value) : value.length;

const bytesOf = (value: Encoded): Uint8Array => (typeof value === 'string' ? Buffer.from(value) : value);
