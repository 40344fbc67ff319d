import { type Chunk, type Signal, chosen, itemOf, taggedItemOf } from './otlp-chunks.ts';
import { wireOf } from './otlp-json.ts';
import { type FieldSchema, itemMessage, messageDepthMax, schemaOf } from './otlp-schema.ts';
import { ProtobufFault, ProtobufReader, bytesType } from './protobuf.ts';

/** An item that is no such message, and why. */
export interface BrokenItem {
  readonly place: number;
  readonly problem: string;
  /** Its own bytes with their tag: several of them, one behind the other, can be told apart. */
  readonly body: Uint8Array;
}

export interface CheckedChunks {
  readonly chunks: readonly Chunk[];
  readonly broken: readonly BrokenItem[];
}

/**
 * Sets apart the items that a receiver could not read: bytes that are no such message, text that is not UTF-8, what is
 * nested too deeply, in the item itself or in the resource or scope that it stands in. One of them in a request would
 * have the whole request refused. Decodes nothing; O(bytes).
 */
export function checkItems(signal: Signal, chunks: readonly Chunk[]): CheckedChunks {
  const broken: BrokenItem[] = [];
  let resource: Uint8Array | undefined;
  let ofResource: string | undefined;
  for (const chunk of chunks) {
    // Without their items these are the same messages for every signal.
    if (chunk.resource !== resource) {
      // All scopes of a resource share it: looked into for each of them, a small request would take minutes.
      ({ resource } = chunk);
      ofResource = problemOf('ResourceLogs', resource);
    }
    const frame = ofResource ?? problemOf('ScopeLogs', chunk.scope);
    for (const [index, place] of chunk.places.entries()) {
      const problem = frame ?? problemOf(itemMessage[signal], itemOf(chunk, index));
      if (problem !== undefined) broken.push({ place, problem, body: taggedItemOf(chunk, index) });
    }
  }
  if (broken.length === 0) return { chunks, broken };
  const places = new Set(broken.map((one) => one.place));
  return { chunks: chosen(chunks, (place) => !places.has(place)), broken };
}

function problemOf(message: string, body: Uint8Array): string | undefined {
  try {
    check(message, new ProtobufReader(body), 0);
    return undefined;
  } catch (error) {
    if (error instanceof ProtobufFault) return error.message;
    throw error;
  }
}

/** Throws `ProtobufFault` where the bytes are no such message. */
export const checkMessage = (message: string, body: Uint8Array): void =>
  check(message, new ProtobufReader(body), 0);

function check(message: string, reader: ProtobufReader, depth: number): void {
  if (depth > messageDepthMax) throw new ProtobufFault('it is nested too deeply');
  const { byNumber } = schemaOf(message);
  while (reader.next()) {
    const field = byNumber[reader.field];
    if (field === undefined) {
      reader.skip();
      continue;
    }
    const isPacked = field.repeated && reader.wire === bytesType && wireOf(field) !== bytesType;
    if (!isPacked && reader.wire !== wireOf(field))
      throw new ProtobufFault(`${field.name} is of another type`);
    if (reader.wire !== bytesType) reader.skip();
    else {
      const start = reader.delimited();
      if (isPacked) checkPacked(field, new ProtobufReader(reader.bytes, start, reader.at));
      else if (field.scalar === undefined)
        check(field.message, new ProtobufReader(reader.bytes, start, reader.at), depth + 1);
      else if (field.scalar === 'string') checkText(reader.bytes, start, reader.at, field.name);
    }
  }
}

/** Numbers one behind the other, without tags. */
function checkPacked(field: FieldSchema, reader: ProtobufReader): void {
  reader.wire = wireOf(field);
  while (reader.at < reader.end) reader.skip();
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function checkText(bytes: Uint8Array, start: number, end: number, name: string): void {
  // Nearly all of it is ASCII, which needs no decoder.
  let at = start;
  while (at < end && (bytes[at] ?? 0) < 0x80) at += 1;
  if (at === end) return;
  try {
    decoder.decode(bytes.subarray(at, end));
  } catch {
    throw new ProtobufFault(`${name} is not UTF-8`);
  }
}
