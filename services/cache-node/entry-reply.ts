import { type Encoding, decode, encode, json } from '#shared/protocol/encoding.ts';
import { type Refusal, type Result, accept, refuse } from '#shared/protocol/errors.ts';
import { holdsHalves, mayHoldHalves } from '#shared/protocol/half-pairs.ts';
import { replyBytesMax } from '#shared/protocol/limits.ts';
import { decompress } from './compression.ts';
import { type Entry, type StoredValue, isExpired } from './core/entry.ts';
import type { FillRight, LoadOutcome } from './core/fills.ts';
import { type ReplyWriter, fieldName } from './reply-writer.ts';

const [hit, value, ttlMs, version, stale, tags, loadToken, leaseMs, items, error] = [
  'hit',
  'value',
  'ttlMs',
  'version',
  'stale',
  'tags',
  'loadToken',
  'leaseMs',
  'items',
  'error',
].map(fieldName) as Required<[F, F, F, F, F, F, F, F, F, F]>;
type F = ReturnType<typeof fieldName>;

export interface EntryReplyOptions {
  readonly nowMs: number;
  readonly right?: FillRight | undefined;
  /** A near cache must know which of its copies the invalidation of a tag means. */
  readonly tellTags: boolean;
}

/**
 * Writes the reply to `get`: the stored value goes out as it is where it is in the reply's encoding.
 * @returns a refusal where the value cannot be written in that encoding; nothing was written then
 */
export function writeEntry(
  out: ReplyWriter,
  entry: Entry | undefined,
  { nowMs, right, tellTags }: EntryReplyOptions,
): Refusal | undefined {
  if (entry === undefined) {
    out.beginObject(1);
    out.name(hit, true);
    out.boolean(false);
    out.endObject();
    return undefined;
  }
  const bytes = valueIn(entry.value, out.encoding);
  if (!bytes.ok) return bytes.error;
  const isStale = isExpired(entry, nowMs);
  const hasTags = tellTags && entry.tags.length > 0;
  const hasTtl = entry.expiresAtMs !== Infinity;
  out.beginObject(
    3 + (hasTtl ? 1 : 0) + (isStale ? 1 : 0) + (hasTags ? 1 : 0) + (right === undefined ? 0 : 2),
  );
  out.name(hit, true);
  out.boolean(true);
  out.name(value);
  out.raw(bytes.value);
  if (hasTtl) {
    out.name(ttlMs);
    out.integer(isStale ? 0 : Math.ceil(entry.expiresAtMs - nowMs));
  }
  out.name(version);
  out.integer(entry.version);
  if (isStale) {
    out.name(stale);
    out.boolean(true);
  }
  if (hasTags) {
    out.name(tags);
    out.value(entry.tags);
  }
  if (right !== undefined) writeRight(out, right);
  out.endObject();
  return undefined;
}

/** Writes what a `load` came to; a refusal where it is one. */
export function writeOutcome(out: ReplyWriter, outcome: LoadOutcome): Refusal | undefined {
  switch (outcome.kind) {
    case 'hit':
      return writeEntry(out, outcome.entry, { ...outcome, tellTags: false });
    case 'granted':
      out.beginObject(3);
      out.name(hit, true);
      out.boolean(false);
      writeRight(out, outcome.right);
      out.endObject();
      return undefined;
    case 'failed': {
      const { message, retryAfterMs } = outcome;
      return refuse('unavailable', message, { loadFailed: true, retryAfterMs }).error;
    }
    case 'late':
      return refuse('timeout', 'nobody filled the key within the wait').error;
    case 'full':
      return refuse('unavailable', 'too many keys are being filled, or too many callers wait').error;
    case 'closed':
      return refuse('unavailable', 'this node no longer answers for the key').error;
  }
}

/**
 * Writes the reply to `set`.
 * @param restMs how long the entry lives, in milliseconds; undefined: not to be told
 */
export function writeSet(out: ReplyWriter, given: number, restMs: number | undefined): void {
  out.beginObject(restMs === undefined ? 1 : 2);
  out.name(version, true);
  out.integer(given);
  if (restMs !== undefined) {
    out.name(ttlMs);
    out.integer(restMs);
  }
  out.endObject();
}

/** Room that is kept for every item, so that a refusal fits in the place of what did not. */
const itemBytesKept = 512;

/**
 * Writes the reply to a batch: each item's reply, or its refusal in its place. An item with which the reply would pass
 * its limit is refused; smaller ones behind it may still fit.
 * @param write writes the item of that index, or returns why not
 */
export function writeItems(
  out: ReplyWriter,
  count: number,
  write: (index: number) => Refusal | undefined,
): void {
  out.beginObject(1);
  out.name(items, true);
  out.beginList(count);
  for (let index = 0; index < count; index += 1) {
    out.separate(index === 0);
    const begin = out.length;
    let refusal = write(index);
    const isTooLong =
      out.length - begin > itemBytesKept && out.length > replyBytesMax - itemBytesKept * (count - index + 1);
    if (isTooLong) refusal = tooLong;
    if (refusal === undefined) continue;
    out.truncate(begin);
    out.beginObject(1);
    out.name(error, true);
    out.value(refusal);
    out.endObject();
  }
  out.endList();
  out.endObject();
}

const tooLong: Refusal = {
  code: 'payload_too_large',
  message: `the reply would pass ${replyBytesMax} bytes: ask for this key alone`,
};

function writeRight(out: ReplyWriter, right: FillRight): void {
  out.name(loadToken);
  out.integer(right.token);
  out.name(leaseMs);
  out.integer(right.leaseMs);
}

/** Bytes become base64 and big integers digits where a MessagePack value is read as JSON. */
function valueIn(stored: StoredValue, encoding: Encoding): Result<Uint8Array> {
  const bytes = stored.rawBytes > 0 ? decompress(stored) : stored.bytes;
  if (stored.encoding === encoding) return accept(bytes);
  const decoded = decode(bytes, stored.encoding);
  if (!decoded.ok)
    return refuse(
      'wrong_state',
      `the value is kept as ${stored.encoding} and cannot be given as ${encoding}`,
    );
  try {
    // In a batch all the values beside it would be unreadable, too.
    if (stored.encoding === json && mayHoldHalves(bytes) && holdsHalves(decoded.value))
      return refuse(
        'wrong_state',
        `the value holds text that is not Unicode, which ${encoding} cannot carry`,
      );
    return accept(encode(decoded.value, encoding));
  } catch {
    return refuse('wrong_state', `the value is nested too deeply to be written as ${encoding}`);
  }
}
