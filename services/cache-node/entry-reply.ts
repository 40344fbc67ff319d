import { type Encoding, decode } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { replyBytesMax } from '#shared/protocol/limits.ts';
import { type Encoded, encodePart, encodedBytes, spliceList, spliceObject } from '#shared/protocol/splice.ts';
import type { Entry, StoredValue } from './core/entry.ts';

/** The reply to `get`: the stored value goes out as it is where it is in the reply's encoding. */
export function entryReply(entry: Entry | undefined, encoding: Encoding, nowMs: number): Result<Encoded> {
  if (entry === undefined) return accept(encodePart({ hit: false }, encoding));
  const value = valueIn(entry.value, encoding);
  if (!value.ok) return value;
  const fields: [string, Encoded][] = [
    ['hit', encodePart(true, encoding)],
    ['value', value.value],
  ];
  if (entry.expiresAtMs !== Infinity)
    fields.push(['ttlMs', encodePart(Math.ceil(entry.expiresAtMs - nowMs), encoding)]);
  fields.push(['version', encodePart(entry.version, encoding)]);
  return accept(spliceObject(fields, encoding));
}

/** The reply to a batch: each item's reply, or its refusal in its place. */
export function itemsReply(items: readonly Result<Encoded>[], encoding: Encoding): Encoded {
  const parts = items.map((item) => (item.ok ? item.value : refusalPart(item.error, encoding)));
  return spliceObject([['items', spliceList(fitting(parts, encoding), encoding)]], encoding);
}

/** Room that is kept for every item, so that a refusal fits in the place of what did not. */
const itemBytesKept = 512;

/** Refuses the items with which the reply would pass `replyBytesMax`; smaller ones behind them may still fit. */
function fitting(parts: readonly Encoded[], encoding: Encoding): readonly Encoded[] {
  let left = replyBytesMax - itemBytesKept * (parts.length + 2);
  return parts.map((part) => {
    const bytes = encodedBytes(part);
    if (bytes <= itemBytesKept) return part;
    if (bytes <= left) {
      left -= bytes;
      return part;
    }
    const message = `the reply would pass ${replyBytesMax} bytes: ask for this key alone`;
    return refusalPart({ code: 'payload_too_large', message }, encoding);
  });
}

const refusalPart = (error: Refusal, encoding: Encoding): Encoded => encodePart({ error }, encoding);

/** Bytes become base64 and big integers digits where a MessagePack value is read as JSON. */
function valueIn(value: StoredValue, encoding: Encoding): Result<Encoded> {
  if (value.encoding === encoding) return accept(value.encoded);
  const decoded = decode(Buffer.from(value.encoded), value.encoding);
  if (!decoded.ok) return refuse('wrong_state', `the value cannot be read as ${value.encoding}`);
  try {
    return accept(encodePart(decoded.value, encoding));
  } catch {
    return refuse('wrong_state', `the value is nested too deeply to be written as ${encoding}`);
  }
}
