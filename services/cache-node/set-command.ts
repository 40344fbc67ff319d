import type { SetRequest } from '#shared/protocol/cache-schemas.ts';
import { durationMs } from '#shared/protocol/durations.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { cacheKeyBytesMax, delayMsMax, payloadBytesMax } from '#shared/protocol/limits.ts';
import type { StoredValue } from './core/entry.ts';
import type { SetCommand, SetCondition } from './core/namespace.ts';
import { KeptValue } from './request-body.ts';

// What the schemas cannot say of a request: bytes of a key, milliseconds of a ttl, bytes of a value.

/** A set as the namespace takes it. */
export function readSet(request: SetRequest): Result<SetCommand> {
  const key = readKey(request.key);
  if (!key.ok) return key;
  const ttlMs = readTtl(request.ttl, 'ttl');
  if (!ttlMs.ok) return ttlMs;
  const condition = readCondition(request);
  if (!condition.ok) return condition;
  const value = readValue(request.value);
  if (!value.ok) return value;
  return accept({
    key: key.value,
    value: value.value,
    ttlMs: ttlMs.value,
    sliding: request.sliding ?? false,
    condition: condition.value,
  });
}

/** JSON Schema counts characters; the limit is in bytes, and a lone surrogate has no bytes in UTF-8. */
export function readKey(key: string): Result<string> {
  if (Buffer.byteLength(key) > cacheKeyBytesMax)
    return refuseField('key', `must be at most ${cacheKeyBytesMax} bytes of UTF-8`);
  return key.isWellFormed() ? accept(key) : refuseField('key', 'must be well-formed Unicode');
}

/** Milliseconds of a ttl; 0 means "never expires", undefined "the namespace's default". */
export function readTtl(ttl: string | number | undefined, field: string): Result<number | undefined> {
  if (ttl === undefined) return accept(undefined);
  const ms = durationMs(ttl);
  if (ms === undefined || ms > delayMsMax) return refuseField(field, 'must be at most ten years');
  return accept(ms);
}

function readCondition({ ifAbsent, ifVersion }: SetRequest): Result<SetCondition> {
  if (ifVersion === undefined) return accept(ifAbsent === true ? { kind: 'absent' } : { kind: 'always' });
  if (ifAbsent === true) return refuseField('ifVersion', 'cannot stand beside ifAbsent');
  return accept({ kind: 'version', version: ifVersion });
}

/** The value as it came in, within its size. */
function readValue(value: unknown): Result<StoredValue> {
  // A message in a form that other libraries do not write: the decoder understood it, our walk over it did not.
  if (!(value instanceof KeptValue)) return refuseField('value', 'must stand in a plain map');
  const { stored } = value;
  if (stored.sizeBytes <= payloadBytesMax) return accept(stored);
  const problem = `value has ${stored.sizeBytes} bytes and must have at most ${payloadBytesMax}`;
  return refuse('payload_too_large', problem, { field: 'value' });
}
