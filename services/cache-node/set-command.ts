import type { SetRequest } from '#shared/protocol/cache-schemas.ts';
import { durationMs } from '#shared/protocol/durations.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { cacheKeyBytesMax, delayMsMax, payloadBytesMax } from '#shared/protocol/limits.ts';
import type { SetCommand, SetCondition } from './core/commands.ts';
import type { StoredValue } from './core/entry.ts';
import { KeptValue } from './kept-value.ts';

// What the schemas cannot say of a request: bytes of a key, milliseconds of a ttl, bytes of a value.

/** A set as the namespace takes it. */
export function readSet(request: SetRequest): Result<SetCommand> {
  const key = readKey(request.key);
  if (!key.ok) return key;
  const ttlMs = readTtl(request.ttl, 'ttl');
  if (!ttlMs.ok) return ttlMs;
  const graceMs = readTtl(request.grace, 'grace');
  if (!graceMs.ok) return graceMs;
  const condition = readCondition(request);
  if (!condition.ok) return condition;
  const tags = readTags(request.tags);
  if (!tags.ok) return tags;
  const value = readValue(request.value);
  if (!value.ok) return value;
  return accept({
    key: key.value,
    value: value.value,
    ttlMs: ttlMs.value,
    sliding: request.sliding ?? false,
    graceMs: graceMs.value,
    tags: tags.value,
    condition: condition.value,
    loadToken: request.loadToken,
  });
}

/** JSON Schema counts characters; the limit is in bytes, and a lone surrogate has no bytes in UTF-8. */
export function readKey(key: string): Result<string> {
  // No character is more than three bytes: most keys need no counting.
  if (key.length * 3 > cacheKeyBytesMax && Buffer.byteLength(key) > cacheKeyBytesMax)
    return refuseField('key', `must be at most ${cacheKeyBytesMax} bytes of UTF-8`);
  return key.isWellFormed() ? accept(key) : refuseField('key', 'must be well-formed Unicode');
}

/** Milliseconds of a duration of ten years at most, or within other bounds; undefined when it is left out. */
export function readTtl(
  ttl: string | number | undefined,
  field: string,
  bounds: { readonly minMs: number; readonly maxMs: number; readonly expected: string } = tenYears,
): Result<number | undefined> {
  if (ttl === undefined) return accept(undefined);
  const ms = durationMs(ttl);
  if (ms === undefined || ms < bounds.minMs || ms > bounds.maxMs)
    return refuseField(field, `must be ${bounds.expected}`);
  return accept(ms);
}

const tenYears = { minMs: 0, maxMs: delayMsMax, expected: 'at most ten years' };

/** Distinct, and well-formed: they are told in events. */
export function readTags(tags: readonly string[] | undefined): Result<readonly string[]> {
  if (tags === undefined || tags.length === 0) return accept([]);
  const bad = tags.findIndex((tag) => !tag.isWellFormed());
  return bad === -1 ? accept([...new Set(tags)]) : refuseField(`tags[${bad}]`, 'must be well-formed Unicode');
}

function readCondition({ ifAbsent, ifVersion }: SetRequest): Result<SetCondition> {
  if (ifVersion === undefined) return accept(ifAbsent === true ? absent : always);
  if (ifAbsent === true) return refuseField('ifVersion', 'cannot stand beside ifAbsent');
  return accept({ kind: 'version', version: ifVersion });
}

const always = { kind: 'always' } as const;
const absent = { kind: 'absent' } as const;

/** The value as it came in, within its size. */
function readValue(value: unknown): Result<StoredValue> {
  // A message in a form that other libraries do not write: the decoder understood it, our walk over it did not.
  if (!(value instanceof KeptValue)) return refuseField('value', 'must stand in a plain map');
  const { stored } = value;
  if (stored.bytes.length <= payloadBytesMax) return accept(stored);
  const problem = `value has ${stored.bytes.length} bytes and must have at most ${payloadBytesMax}`;
  return refuse('payload_too_large', problem, { field: 'value' });
}
