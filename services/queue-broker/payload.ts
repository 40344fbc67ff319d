import { type Encoding, decode, encode, encodingOf, msgpack } from '#shared/protocol/encoding.ts';
import { type Result, accept, refuse, refuseField } from '#shared/protocol/errors.ts';
import { keyLengthMax } from '#shared/protocol/limits.ts';
import { isTooDeep, tooDeep } from '#shared/protocol/nesting.ts';

/** A payload as it is stored. */
export interface Payload {
  readonly payload: Uint8Array;
  /** JSON text, checked: a JSON reply carries it as it is. */
  readonly payloadIsJson: boolean;
  readonly contentType?: string;
}

// A byte order mark is no JSON (RFC 8259), and may not stand in the middle of a reply.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The payload of a raw body: untouched. Without a content type it is JSON if it reads as JSON, else bytes.
 * A body that is called JSON or MessagePack and is not is `invalid_request` when `strict`, else bytes.
 */
export function rawPayload(
  body: Uint8Array,
  contentType: string | undefined,
  strict: boolean,
): Result<Payload> {
  if ((contentType ?? '').length > keyLengthMax)
    return refuseField('Content-Type', `must have at most ${keyLengthMax} characters`);
  const given = contentType === undefined || contentType === '' ? {} : { contentType };
  const encoding = encodingOf(contentType);
  if (encoding === msgpack) {
    const decoded = decode(body, msgpack);
    if (strict && body.length === 0)
      return refuse('invalid_request', 'the body is not MessagePack: it is empty', { field: 'body' });
    if (!decoded.ok && strict) return decoded;
    if (decoded.ok && isTooDeep(decoded.value)) return tooDeep('body');
    return accept({ payload: body, payloadIsJson: false, ...given });
  }
  if (encoding === undefined) return accept({ payload: body, payloadIsJson: false, ...given });
  const read = readJson(body);
  if (read !== undefined && isTooDeep(read.value)) return tooDeep('body');
  const isJson = read !== undefined;
  if (!isJson && strict && 'contentType' in given)
    return refuse('invalid_request', 'the body is not JSON', { field: 'body' });
  return accept({ payload: body, payloadIsJson: isJson, ...given });
}

/** The payload of a value inside a request: in the request's own encoding, bytes as they are. */
export function valuePayload(value: unknown, encoding: Encoding): Result<Payload> {
  if (value instanceof Uint8Array) return accept({ payload: value, payloadIsJson: false });
  if (isTooDeep(value)) return tooDeep('payload');
  if (encoding === msgpack)
    return accept({ payload: encode(value, msgpack), payloadIsJson: false, contentType: msgpack });
  // What came as JSON has nothing in it that needs a mapping.
  return accept({ payload: Buffer.from(JSON.stringify(value)), payloadIsJson: true });
}

function readJson(body: Uint8Array): { readonly value: unknown } | undefined {
  if (body.length === 0) return undefined;
  try {
    return { value: JSON.parse(utf8.decode(body)) as unknown };
  } catch {
    // Not JSON is an answer here, not a fault.
    return undefined;
  }
}
