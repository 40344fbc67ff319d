import type { SetRequest } from '#shared/protocol/cache-schemas.ts';
import { durationMs } from '#shared/protocol/durations.ts';
import { type Encoding, json } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { cacheKeyBytesMax, delayMsMax, payloadBytesMax } from '#shared/protocol/limits.ts';
import { encodePart, encodedBytes } from '#shared/protocol/splice.ts';
import type { StoredValue } from './core/entry.ts';
import type { SetCommand, SetCondition } from './core/namespace.ts';

// What the schemas cannot say of a request: bytes of a key, milliseconds of a ttl, the value as it is stored.

/** A set as the namespace takes it. */
export function readSet(request: SetRequest, encoding: Encoding): Result<SetCommand> {
  const key = readKey(request.key);
  if (!key.ok) return key;
  const ttlMs = readTtl(request.ttl, 'ttl');
  if (!ttlMs.ok) return ttlMs;
  const condition = readCondition(request);
  if (!condition.ok) return condition;
  const value = readValue(request.value, encoding);
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

function readValue(value: unknown, encoding: Encoding): Result<StoredValue> {
  let encoded;
  try {
    encoded = encodePart(value, encoding);
  } catch (error) {
    // What decodes may still not encode: nesting deeper than the stack, a cycle made of MessagePack extensions.
    return refuseField(
      'value',
      `cannot be stored: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const sizeBytes = encodedBytes(encoded);
  if (sizeBytes > payloadBytesMax) {
    const problem = `value has ${sizeBytes} bytes and must have at most ${payloadBytesMax}`;
    return refuse('payload_too_large', problem, { field: 'value' });
  }
  // A copy of the bytes: the encoder's buffer is larger than the value, and shared.
  return accept({
    encoding,
    encoded: encoding === json || typeof encoded === 'string' ? encoded : new Uint8Array(encoded),
    sizeBytes,
  });
}
