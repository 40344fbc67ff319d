import { type Encoding, decode, json, msgpack, notOf } from '#shared/protocol/encoding.ts';
import { type Result, accept } from '#shared/protocol/errors.ts';
import {
  type Span,
  isNamed,
  skipJsonValue,
  visitElements,
  visitMembers,
} from '#shared/protocol/json-spans.ts';
import {
  isPackedName,
  packedFault,
  visitPackedElements,
  visitPackedMembers,
} from '#shared/protocol/msgpack-spans.ts';
import { readJsonSets } from './json-sets.ts';
import { KeptValue } from './kept-value.ts';

/**
 * Decodes a request's body, but leaves each `value` of a set as it came in: a `KeptValue` stands in its place. So an
 * integer beyond what JavaScript counts exactly, or an extension type of another language, comes back as it was.
 */
export function decodeBody(body: Uint8Array, encoding: Encoding, operation: string): Result<unknown> {
  if (operation !== 'set' && operation !== 'set-many') return decode(body, encoding);
  if (encoding !== json) return decodeMsgpackSets(body, operation);
  const read = readJsonSets(body, operation);
  return read === undefined ? decodeJsonSets(body, operation) : accept(read);
}

function decodeJsonSets(body: Uint8Array, operation: string): Result<unknown> {
  const decoded = decode(body, json);
  if (!decoded.ok) return decoded;
  const begin = startsWithMark(body) ? 3 : 0;
  if (operation === 'set') {
    keepValue(decoded.value, jsonMember(body, begin, 'value').found, { body, encoding: json });
    return decoded;
  }
  const { found: items } = jsonMember(body, begin, 'items');
  const list = itemsOf(decoded.value);
  if (items === undefined || list === undefined) return decoded;
  let index = 0;
  visitElements(body, items.start, (start) => {
    const { found, end } = jsonMember(body, start, 'value');
    keepValue(list[index], found, { body, encoding: json });
    index += 1;
    return end === start ? skipJsonValue(body, start) : end;
  });
  return decoded;
}

/** A byte order mark, which the decoder skips. */
const startsWithMark = (body: Uint8Array): boolean =>
  body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;

/** Of members of the same name the last one counts, as it does for the decoder. */
function jsonMember(bytes: Uint8Array, start: number, name: string) {
  let found: Span | undefined;
  const end = visitMembers(bytes, start, (memberName, value) => {
    if (isNamed(bytes, memberName, name)) found = value;
  });
  return { found, end };
}

function decodeMsgpackSets(body: Uint8Array, operation: string): Result<unknown> {
  // Here, since the decoder does not see the values.
  const fault = packedFault(body);
  if (fault !== undefined) return notOf(msgpack, fault);
  const source = { body, encoding: msgpack };
  /** Where every `value` stands, in order: of members of the same name all are left out, and the last one counts. */
  const spans: Span[] = [];
  const valueOf = (start: number): Span | undefined => {
    let found: Span | undefined;
    visitPackedMembers(body, start, (name, value) => {
      if (!isPackedName(body, name, 'value')) return;
      spans.push(value);
      found = value;
    });
    return found;
  };
  if (operation === 'set') {
    const span = valueOf(0);
    const decoded = decode(withoutSpans(body, spans), source.encoding);
    if (decoded.ok) keepValue(decoded.value, span, source);
    return decoded;
  }
  let items: Span | undefined;
  visitPackedMembers(body, 0, (name, value) => {
    if (isPackedName(body, name, 'items')) items = value;
  });
  const values: (Span | undefined)[] = [];
  if (items !== undefined) visitPackedElements(body, items.start, (start) => values.push(valueOf(start)));
  const decoded = decode(withoutSpans(body, spans), source.encoding);
  if (!decoded.ok) return decoded;
  const list = itemsOf(decoded.value);
  if (list !== undefined)
    for (let index = 0; index < list.length; index += 1) keepValue(list[index], values[index], source);
  return decoded;
}

interface Source {
  readonly body: Uint8Array;
  readonly encoding: Encoding;
}

/** Puts the bytes of the span in the place of the value of an object that the decoder has just made. */
function keepValue(set: unknown, span: Span | undefined, { body, encoding }: Source): void {
  if (span === undefined || typeof set !== 'object' || set === null || Array.isArray(set)) return;
  const bytes = body.subarray(span.start, span.end);
  (set as Record<string, unknown>)['value'] = new KeptValue({ encoding, bytes, rawBytes: 0 });
}

function itemsOf(body: unknown): readonly unknown[] | undefined {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  const { items } = body as { readonly items?: unknown };
  return Array.isArray(items) ? items : undefined;
}

/** The bytes with nil in the place of each span, so that the decoder does not look inside. */
function withoutSpans(bytes: Uint8Array, spans: readonly Span[]): Uint8Array {
  const short = new Uint8Array(bytes.length + spans.length);
  let from = 0;
  let to = 0;
  for (const span of spans) {
    short.set(bytes.subarray(from, span.start), to);
    to += span.start - from;
    short[to] = nil;
    to += 1;
    from = span.end;
  }
  short.set(bytes.subarray(from), to);
  return short.subarray(0, to + bytes.length - from);
}

const nil = 0xc0;
