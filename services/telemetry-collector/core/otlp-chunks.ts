import { otlpItemsMax } from '#shared/protocol/limits.ts';
import { ProtobufFault, ProtobufReader, bytesType } from './protobuf.ts';

/** The three signals of OTLP that Trivet carries. */
export type Signal = 'metrics' | 'logs' | 'traces';

export const signals: readonly Signal[] = ['metrics', 'logs', 'traces'];

/**
 * Items of one resource and scope, encoded: log records, spans or metrics. What we make of records and what comes as
 * OTLP is the same from here on; it can be put together with others, divided and counted without decoding an item.
 */
export interface Chunk {
  /** The fields of ResourceLogs (and its sisters) but for the scopes, as they are on the wire. */
  readonly resource: Uint8Array;
  /** The fields of ScopeLogs but for the items. */
  readonly scope: Uint8Array;
  /** Items one behind the other, each with its tag (field 2). */
  readonly items: Uint8Array;
  /** Where each item ends in `items`. */
  readonly ends: readonly number[];
  /** The place of each item's record in its message. */
  readonly places: readonly number[];
}

// In requests, ResourceLogs and ScopeLogs and their sisters alike.
const resourcesField = 1;
const scopesField = 2;
const itemsField = 2;

/** Resources, scopes and items that a request may still have. */
interface Room {
  left: number;
}

function takeRoom(room: Room): void {
  room.left -= 1;
  if (room.left < 0)
    throw new ProtobufFault(`it has more than ${otlpItemsMax} items, resources and scopes together`);
}

/**
 * Takes an OTLP request apart, down to its items, which are not looked into.
 * Throws `ProtobufFault` where the bytes are no such request, or where there are too many items: an empty one is two
 * bytes, and each is an object here. O(items); items are views of `body`.
 */
export function chunksOf(body: Uint8Array): readonly Chunk[] {
  const chunks: Chunk[] = [];
  const reader = new ProtobufReader(body);
  const room = { left: otlpItemsMax };
  let place = 0;
  while (reader.next()) {
    if (reader.field !== resourcesField || reader.wire !== bytesType) {
      reader.skip();
      continue;
    }
    const start = reader.delimited();
    takeRoom(room);
    place = addResource({ chunks, body, room }, { start, end: reader.at }, place);
  }
  return chunks;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** A request that is being taken apart. */
interface Request {
  readonly chunks: Chunk[];
  readonly body: Uint8Array;
  readonly room: Room;
}

function addResource(request: Request, range: Range, firstPlace: number): number {
  const { chunks, body } = request;
  const { inner: scopes, rest: resource } = split(request, range, scopesField);
  let place = firstPlace;
  for (const scope of scopes) {
    const { inner, rest } = split(request, scope, itemsField);
    if (inner.length === 0) continue;
    const items = joined(
      body,
      inner.map(({ tagStart, end }) => ({ start: tagStart, end })),
    );
    let end = 0;
    const ends = inner.map((one) => (end += one.end - one.tagStart));
    const places = inner.map((_, index) => place + index);
    place += inner.length;
    chunks.push({ resource, scope: rest, items, ends, places });
  }
  return place;
}

interface Field extends Range {
  readonly tagStart: number;
}

/** The values of one repeated field, and everything else of the message. */
function split(
  { body, room }: Request,
  { start, end }: Range,
  field: number,
): { readonly inner: readonly Field[]; readonly rest: Uint8Array } {
  const reader = new ProtobufReader(body, start, end);
  const inner: Field[] = [];
  const rest: Range[] = [];
  for (let tagStart = reader.at; reader.next(); tagStart = reader.at) {
    if (reader.field === field) {
      if (reader.wire !== bytesType) throw new ProtobufFault(`field ${field} is no message`);
      const valueStart = reader.delimited();
      takeRoom(room);
      inner.push({ tagStart, start: valueStart, end: reader.at });
    } else {
      reader.skip();
      rest.push({ start: tagStart, end: reader.at });
    }
  }
  return { inner, rest: joined(body, rest) };
}

/** A view where the ranges touch each other, as they nearly always do, else a copy. */
function joined(body: Uint8Array, ranges: readonly Range[]): Uint8Array {
  const first = ranges[0];
  const last = ranges.at(-1);
  if (first === undefined || last === undefined) return new Uint8Array();
  const touching = ranges.every((one, index) => index === 0 || ranges[index - 1]?.end === one.start);
  if (touching) return body.subarray(first.start, last.end);
  const copy = new Uint8Array(ranges.reduce((sum, one) => sum + one.end - one.start, 0));
  let at = 0;
  for (const { start, end } of ranges) {
    copy.set(body.subarray(start, end), at);
    at += end - start;
  }
  return copy;
}

export const itemsIn = (chunks: readonly Chunk[]): number =>
  chunks.reduce((sum, chunk) => sum + chunk.ends.length, 0);

export const bytesIn = (chunks: readonly Chunk[]): number =>
  chunks.reduce((sum, { resource, scope, items }) => sum + resource.length + scope.length + items.length, 0);

export const placesIn = (chunks: readonly Chunk[]): readonly number[] =>
  chunks.flatMap((chunk) => chunk.places);

/** The bytes of one item with its tag and length: as they are, a message whose one field it is. */
export const taggedItemOf = ({ items, ends }: Chunk, index: number): Uint8Array =>
  items.subarray(ends[index - 1] ?? 0, ends[index]);

/** The bytes of one item without its tag and length. */
export function itemOf(chunk: Chunk, index: number): Uint8Array {
  const start = chunk.ends[index - 1] ?? 0;
  const reader = new ProtobufReader(chunk.items, start, chunk.ends[index] ?? start);
  reader.next();
  const valueStart = reader.delimited();
  return chunk.items.subarray(valueStart, reader.at);
}

/** Both halves of what has at least two items; undefined for what cannot be divided. */
export function halvesOf(
  chunks: readonly Chunk[],
): readonly [readonly Chunk[], readonly Chunk[]] | undefined {
  const count = itemsIn(chunks);
  if (count < 2) return undefined;
  const first: Chunk[] = [];
  const second: Chunk[] = [];
  let room = count >>> 1;
  for (const chunk of chunks) {
    const taken = Math.min(room, chunk.ends.length);
    room -= taken;
    if (taken > 0) first.push(slice(chunk, 0, taken));
    if (taken < chunk.ends.length) second.push(slice(chunk, taken, chunk.ends.length));
  }
  return [first, second];
}

function slice(chunk: Chunk, from: number, to: number): Chunk {
  if (from === 0 && to === chunk.ends.length) return chunk;
  const start = chunk.ends[from - 1] ?? 0;
  return {
    ...chunk,
    items: chunk.items.subarray(start, chunk.ends[to - 1]),
    ends: chunk.ends.slice(from, to).map((end) => end - start),
    places: chunk.places.slice(from, to),
  };
}

/** The items for which `isWanted` says yes. */
export function chosen(
  chunks: readonly Chunk[],
  isWanted: (place: number, chunk: Chunk, index: number) => boolean,
): readonly Chunk[] {
  return chunks.flatMap((chunk) => {
    const wanted = chunk.places.map((place, index) => isWanted(place, chunk, index));
    if (wanted.every(Boolean)) return [chunk];
    const parts = chunk.places.flatMap((_, index) =>
      wanted[index] === true ? [slice(chunk, index, index + 1)] : [],
    );
    const [first] = parts;
    if (first === undefined) return [];
    let end = 0;
    return [
      {
        ...chunk,
        items: Buffer.concat(parts.map((part) => part.items)),
        ends: parts.map((part) => (end += part.items.length)),
        places: parts.flatMap((part) => part.places),
      },
    ];
  });
}

/**
 * The request that carries these. Neighbours of the same resource and scope (the same bytes object) share their frame,
 * so that a hundred messages of one source make one ResourceLogs.
 */
export function requestOf(chunks: readonly Chunk[]): Uint8Array {
  const frames: { readonly head: Chunk; items: number; readonly parts: Uint8Array[] }[] = [];
  for (const chunk of chunks) {
    const last = frames.at(-1);
    if (last?.head.resource === chunk.resource && last.head.scope === chunk.scope) {
      last.items += chunk.items.length;
      last.parts.push(chunk.items);
    } else frames.push({ head: chunk, items: chunk.items.length, parts: [chunk.items] });
  }
  const sizes = frames.map(({ head, items }) => {
    const scope = head.scope.length + items;
    return { scope, resource: head.resource.length + 1 + varintSize(scope) + scope };
  });
  const total = sizes.reduce((sum, { resource }) => sum + 1 + varintSize(resource) + resource, 0);
  // Every byte of it is written below.
  const request = Buffer.allocUnsafeSlow(total);
  let at = 0;
  const put = (bytes: Uint8Array): void => {
    request.set(bytes, at);
    at += bytes.length;
  };
  for (const [index, { head, parts }] of frames.entries()) {
    const { scope, resource } = sizes[index] ?? { scope: 0, resource: 0 };
    at = putHead(request, at, resourcesField, resource);
    put(head.resource);
    at = putHead(request, at, scopesField, scope);
    put(head.scope);
    for (const part of parts) put(part);
  }
  return request;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

/** Tag and length of a nested message. @returns where its value begins */
function putHead(into: Uint8Array, start: number, field: number, length: number): number {
  let at = start;
  into[at] = field * 8 + bytesType;
  at += 1;
  let rest = length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    into[at] = (rest % 0x80) | 0x80;
    at += 1;
  }
  into[at] = rest;
  return at + 1;
}
