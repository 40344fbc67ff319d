import type { Span } from '#shared/protocol/json-spans.ts';

// Where the parts of a MessagePack message stand, by the heads of the format alone: nothing is decoded, so values of
// any extension type pass. Broken lengths end the walk: the decoder then says what is wrong.
// Source: the MessagePack specification, github.com/msgpack/msgpack/blob/master/spec.md.

/** The members of the map that begins at `start`, in order; none when something else begins there. */
export function* msgpackMembers(
  bytes: Uint8Array,
  start: number,
): Iterable<Span & { readonly name: string | undefined }> {
  const head = headAt(bytes, start);
  if (head?.kind !== 'map') return;
  let at: number | undefined = head.end;
  for (let member = 0; member < head.count; member += 1) {
    const name = stringAt(bytes, at);
    const valueStart: number | undefined = skipValue(bytes, at);
    const end = valueStart === undefined ? undefined : skipValue(bytes, valueStart);
    if (valueStart === undefined || end === undefined) return;
    yield { name, start: valueStart, end };
    at = end;
  }
}

/** The elements of the array that begins at `start`, in order; none when something else begins there. */
export function* msgpackElements(bytes: Uint8Array, start: number): Iterable<Span> {
  const head = headAt(bytes, start);
  if (head?.kind !== 'list') return;
  let at = head.end;
  for (let element = 0; element < head.count; element += 1) {
    const end = skipValue(bytes, at);
    if (end === undefined) return;
    yield { start: at, end };
    at = end;
  }
}

/** What the first bytes of a value say. `end` is behind a scalar, and behind the head of a map or list. */
type Head =
  | { readonly kind: 'scalar' | 'string'; readonly end: number }
  | { readonly kind: 'map' | 'list'; readonly end: number; readonly count: number };

/** Past the value at `start`, however deep it is; undefined when the message ends before it does. */
function skipValue(bytes: Uint8Array, start: number): number | undefined {
  let at = start;
  for (let values = 1; values > 0; values -= 1) {
    const head = headAt(bytes, at);
    if (head === undefined) return undefined;
    at = head.end;
    if (head.kind === 'map') values += 2 * head.count;
    if (head.kind === 'list') values += head.count;
  }
  return at;
}

function headAt(bytes: Uint8Array, at: number): Head | undefined {
  const head = readHead(bytes, at);
  return head !== undefined && head.end <= bytes.length ? head : undefined;
}

function readHead(bytes: Uint8Array, at: number): Head | undefined {
  const type = bytes[at];
  if (type === undefined) return undefined;
  if (type < 0x80 || type >= 0xe0) return { kind: 'scalar', end: at + 1 };
  if (type < 0x90) return { kind: 'map', end: at + 1, count: type & 0x0f };
  if (type < 0xa0) return { kind: 'list', end: at + 1, count: type & 0x0f };
  if (type < 0xc0) return { kind: 'string', end: at + 1 + (type & 0x1f) };
  const { kind, lengthBytes, fixed } = longForms[type - 0xc0] ?? nothing;
  const length = lengthBytes === 0 ? 0 : unsigned(bytes, at + 1, lengthBytes);
  const end = at + 1 + lengthBytes + fixed;
  return kind === 'map' || kind === 'list' ? { kind, end, count: length } : { kind, end: end + length };
}

interface LongForm {
  readonly kind: Head['kind'];
  /** Bytes of the length, or of the count, behind the type. */
  readonly lengthBytes: 0 | 1 | 2 | 4;
  /** Bytes that always follow. */
  readonly fixed: number;
}

const form = (kind: Head['kind'], lengthBytes: LongForm['lengthBytes'], fixed = 0): LongForm => ({
  kind,
  lengthBytes,
  fixed,
});

const nothing = form('scalar', 0);

/** The types from 0xc0 to 0xdf, in order. */
const longForms: readonly LongForm[] = [
  [nothing, nothing, nothing, nothing],
  [form('scalar', 1), form('scalar', 2), form('scalar', 4)],
  // Extensions with a length have a byte for their type, too.
  [form('scalar', 1, 1), form('scalar', 2, 1), form('scalar', 4, 1)],
  [4, 8, 1, 2, 4, 8, 1, 2, 4, 8].map((bytes) => form('scalar', 0, bytes)),
  [2, 3, 5, 9, 17].map((bytes) => form('scalar', 0, bytes)),
  [form('string', 1), form('string', 2), form('string', 4)],
  [form('list', 2), form('list', 4), form('map', 2), form('map', 4)],
].flat();

function unsigned(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let index = 0; index < length; index += 1) value = value * 256 + (bytes[at + index] ?? 0);
  return value;
}

function stringAt(bytes: Uint8Array, at: number): string | undefined {
  const head = headAt(bytes, at);
  if (head?.kind !== 'string') return undefined;
  const type = bytes[at] ?? 0;
  const headBytes = type < 0xc0 ? 1 : 1 + (longForms[type - 0xc0] ?? nothing).lengthBytes;
  return Buffer.from(bytes.subarray(at + headBytes, head.end)).toString();
}
