import { type Encoding, decode, json } from '#shared/protocol/encoding.ts';
import { type Result, accept } from '#shared/protocol/errors.ts';
import type { StoredValue } from './core/entry.ts';
import { type Span, jsonElements, jsonMembers } from './json-spans.ts';
import { msgpackElements, msgpackMembers } from './msgpack-spans.ts';

/** A value of a set that was left as it came in. A class, so that nothing that a caller sends can pass for one. */
export class KeptValue {
  readonly stored: StoredValue;

  constructor(stored: StoredValue) {
    this.stored = stored;
  }
}

/**
 * Decodes a request's body, but leaves each `value` of a set as it came in: a `KeptValue` stands in its place. So an
 * integer beyond what JavaScript counts exactly, or an extension type of another language, comes back as it was.
 */
export function decodeBody(body: Uint8Array, encoding: Encoding, operation: string): Result<unknown> {
  const isSet = operation === 'set' || operation === 'set-many';
  if (!isSet) return decode(body, encoding);
  return encoding === json ? decodeJsonSets(body, operation) : decodeMsgpackSets(body, operation);
}

function decodeJsonSets(body: Uint8Array, operation: string): Result<unknown> {
  const decoded = decode(body, json);
  if (!decoded.ok) return decoded;
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString();
  const valueOf = (start: number) => last(jsonMembers(text, start), 'value');
  const keep = (span: Span): StoredValue => {
    // Through bytes and back: a slice of the text would keep all of the message in memory.
    const bytes = Buffer.from(text.slice(span.start, span.end));
    return { encoding: json, encoded: bytes.toString(), sizeBytes: bytes.length };
  };
  if (operation === 'set') return accept(withValue(decoded.value, valueOf(0), keep));
  const items = last(jsonMembers(text, 0), 'items');
  const spans = items === undefined ? [] : [...jsonElements(text, items.start)];
  return accept(
    withItemValues(
      decoded.value,
      spans.map((span) => valueOf(span.start)),
      keep,
    ),
  );
}

function decodeMsgpackSets(body: Uint8Array, operation: string): Result<unknown> {
  const values = (start: number) => [...msgpackMembers(body, start)].filter((one) => one.name === 'value');
  const keep = (span: Span): StoredValue => {
    const encoded = new Uint8Array(body.subarray(span.start, span.end));
    return { encoding: 'application/msgpack', encoded, sizeBytes: encoded.length };
  };
  if (operation === 'set') {
    const spans = values(0);
    const decoded = decode(withoutSpans(body, spans), 'application/msgpack');
    return decoded.ok ? accept(withValue(decoded.value, spans.at(-1), keep)) : decoded;
  }
  const items = last(msgpackMembers(body, 0), 'items');
  const spans = (items === undefined ? [] : [...msgpackElements(body, items.start)]).map((one) =>
    values(one.start),
  );
  const decoded = decode(withoutSpans(body, spans.flat()), 'application/msgpack');
  if (!decoded.ok) return decoded;
  return accept(
    withItemValues(
      decoded.value,
      spans.map((one) => one.at(-1)),
      keep,
    ),
  );
}

type Keep = (span: Span) => StoredValue;

function withItemValues(body: unknown, spans: readonly (Span | undefined)[], keep: Keep): unknown {
  if (!isObject(body) || !Array.isArray(body['items'])) return body;
  return { ...body, items: body['items'].map((item: unknown, index) => withValue(item, spans[index], keep)) };
}

function withValue(body: unknown, span: Span | undefined, keep: Keep): unknown {
  return isObject(body) && span !== undefined ? { ...body, value: new KeptValue(keep(span)) } : body;
}

/** The bytes with nil in the place of each span, so that the decoder does not look inside. */
function withoutSpans(bytes: Uint8Array, spans: readonly Span[]): Uint8Array {
  const nil = Uint8Array.of(0xc0);
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const span of spans) {
    parts.push(bytes.subarray(at, span.start), nil);
    at = span.end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}

/** Of members of the same name the last one counts, as it does for the decoders. */
function last(
  members: Iterable<Span & { readonly name: string | undefined }>,
  name: string,
): Span | undefined {
  let found: Span | undefined;
  for (const member of members) if (member.name === name) found = member;
  return found;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
