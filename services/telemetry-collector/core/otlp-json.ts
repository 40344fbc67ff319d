import { numberOf } from '#shared/protocol/exact-json.ts';
import type { Signal } from './otlp-chunks.ts';
import {
  type FieldSchema,
  type MessageSchema,
  type Scalar,
  messageDepthMax,
  requestMessage,
  schemaOf,
} from './otlp-schema.ts';
import {
  BackwardWriter,
  ProtobufFault,
  ProtobufReader,
  bytesType,
  fixed32Type,
  fixed64Type,
  varintType,
} from './protobuf.ts';

// OTLP between its two encodings. JSON is protobuf's own mapping with OTLP's exceptions: ids in hexadecimal, enums as
// numbers. Source: opentelemetry.io, "OTLP Specification", JSON Protobuf Encoding.

/** A message as JSON has it. */
export interface JsonMessage {
  readonly [name: string]: JsonValue;
}
export type JsonValue = string | number | boolean | JsonMessage | readonly JsonValue[];

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A request in JSON. Throws `ProtobufFault` where the bytes are none. */
export const jsonOfRequest = (signal: Signal, body: Uint8Array): JsonMessage =>
  jsonOf(requestMessage[signal], body);

/** Any message of OTLP in JSON; fields that this version of OTLP does not have are left out. */
export function jsonOf(message: string, body: Uint8Array): JsonMessage {
  return readMessage(schemaOf(message), new ProtobufReader(body), 0);
}

function readMessage(schema: MessageSchema, reader: ProtobufReader, depth: number): JsonMessage {
  if (depth > messageDepthMax) throw new ProtobufFault('it is nested too deeply');
  const made: Record<string, JsonValue | JsonValue[]> = {};
  while (reader.next()) {
    const field = schema.byNumber[reader.field];
    if (field === undefined) {
      reader.skip();
      continue;
    }
    if (!field.repeated) made[field.name] = readValue(field, reader, depth);
    else {
      const list = (made[field.name] ??= []) as JsonValue[];
      if (reader.wire === bytesType && wireOf(field) !== bytesType) readPacked(field, reader, list);
      else list.push(readValue(field, reader, depth));
    }
  }
  return made;
}

function readPacked(field: FieldSchema, reader: ProtobufReader, into: JsonValue[]): void {
  const start = reader.delimited();
  const inner = new ProtobufReader(reader.bytes, start, reader.at);
  while (inner.at < inner.end) into.push(readScalar(field.scalar ?? 'string', inner));
}

function readValue(field: FieldSchema, reader: ProtobufReader, depth: number): JsonValue {
  expectWire(field, reader.wire);
  if (field.scalar !== undefined) return readScalar(field.scalar, reader);
  const start = reader.delimited();
  return readMessage(schemaOf(field.message), new ProtobufReader(reader.bytes, start, reader.at), depth + 1);
}

function expectWire(field: FieldSchema, wire: number): void {
  if (wire !== wireOf(field)) throw new ProtobufFault(`${field.name} is of another type`);
}

function readScalar(scalar: Scalar, reader: ProtobufReader): string | number | boolean {
  switch (scalar) {
    case 'string':
      return textOf(reader);
    case 'bytes':
      return bufferOf(reader).toString('base64');
    case 'hex':
      return bufferOf(reader).toString('hex');
    case 'bool':
      return reader.varint32() !== 0 || reader.high !== 0;
    case 'uint32':
      return reader.varint32();
    // An enum is an int32, and may hold what its message does not name.
    case 'enum':
    case 'int32':
      return Math.trunc(reader.varint32()) | 0;
    case 'sint32': {
      const value = reader.varint32();
      return (value >>> 1) ^ -(value & 1);
    }
    case 'int64':
      return reader.int64(true);
    case 'uint64':
      return reader.int64(false);
    case 'fixed32':
      return reader.fixed32();
    case 'fixed64':
      return reader.fixed64(false);
    case 'sfixed64':
      return reader.fixed64(true);
    case 'double': {
      const value = reader.double();
      return Number.isFinite(value) ? value : String(value);
    }
  }
}

function bufferOf(reader: ProtobufReader): Buffer {
  const start = reader.delimited();
  return Buffer.from(reader.bytes.buffer, reader.bytes.byteOffset + start, reader.at - start);
}

function textOf(reader: ProtobufReader): string {
  try {
    return decoder.decode(bufferOf(reader));
  } catch {
    throw new ProtobufFault('a text is not UTF-8');
  }
}

const wires: Readonly<Record<Scalar, number>> = {
  string: bytesType,
  bytes: bytesType,
  hex: bytesType,
  bool: varintType,
  enum: varintType,
  uint32: varintType,
  int32: varintType,
  sint32: varintType,
  int64: varintType,
  uint64: varintType,
  fixed32: fixed32Type,
  fixed64: fixed64Type,
  sfixed64: fixed64Type,
  double: fixed64Type,
};

export const wireOf = (field: FieldSchema): number =>
  field.scalar === undefined ? bytesType : wires[field.scalar];

/** What is wrong with a JSON request, as a sentence that names the field. */
export class OtlpJsonFault extends Error {}

/**
 * The bytes of a request that came as JSON, as `decodeExactly` reads it; unknown fields are ignored, as OTLP wants it.
 * Throws `OtlpJsonFault` that names the field whose value cannot be what it must be.
 */
export function bytesOfRequest(signal: Signal, given: unknown): Uint8Array {
  const writer = new BackwardWriter(4_096);
  writeMessage(writer, schemaOf(requestMessage[signal]), numberOf(given), '', 0);
  return writer.take();
}

/** Any message of OTLP; as the value of field `number`, with its tag, where that is given. */
export function bytesOf(message: string, given: JsonMessage, number?: number): Uint8Array {
  const writer = new BackwardWriter(1_024);
  writeMessage(writer, schemaOf(message), given, '', 0);
  if (number !== undefined) writer.delimit(number, 0);
  return writer.take();
}

function writeMessage(
  writer: BackwardWriter,
  schema: MessageSchema,
  given: unknown,
  path: string,
  depth: number,
): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw expected(path, 'an object');
  if (depth > messageDepthMax) throw expected(path, 'nested less deeply');
  for (const [name, value] of Object.entries(given as Readonly<Record<string, unknown>>).reverse()) {
    const field = schema.byName.get(name);
    // Null is protobuf's "not given".
    if (field === undefined || value === null || value === undefined) continue;
    const at = path === '' ? name : `${path}.${name}`;
    if (!field.repeated) writeField(writer, field, value, at, depth);
    else {
      if (!Array.isArray(value)) throw expected(at, 'an array');
      for (let index = value.length - 1; index >= 0; index -= 1)
        writeField(writer, field, value[index], `${at}[${index}]`, depth);
    }
  }
}

function writeField(
  writer: BackwardWriter,
  field: FieldSchema,
  given: unknown,
  path: string,
  depth: number,
): void {
  const { scalar, number } = field;
  const value = numberOf(given);
  if (scalar !== undefined) {
    writeScalar(writer, scalar, value, path);
    writer.tag(number, wires[scalar]);
    return;
  }
  const before = writer.length;
  writeMessage(writer, schemaOf(field.message), value, path, depth + 1);
  writer.delimit(number, before);
}

function writeScalar(writer: BackwardWriter, scalar: Scalar, value: unknown, path: string): void {
  switch (scalar) {
    case 'string':
      if (typeof value !== 'string') throw expected(path, 'a string');
      return writeBytes(writer, Buffer.from(value.toWellFormed(), 'utf8'));
    case 'bytes':
      return writeBytes(writer, bytesFrom(value, /^[A-Za-z0-9+/_-]*={0,2}$/, 'base64', path));
    case 'hex':
      return writeBytes(writer, bytesFrom(value, /^(?:[0-9a-fA-F]{2})*$/, 'hex', path));
    case 'bool':
      if (typeof value !== 'boolean') throw expected(path, 'true or false');
      return writer.varint(value ? 1 : 0);
    case 'double':
      return writer.double(doubleOf(value, path));
    case 'fixed64':
    case 'sfixed64':
      return writer.bigFixed64(BigInt.asUintN(64, integerOf(value, scalar, path)));
    case 'fixed32':
      return writer.fixed32(Number(integerOf(value, scalar, path)));
    case 'sint32': {
      const number = Number(integerOf(value, scalar, path));
      return writer.varint(((number << 1) ^ (number >> 31)) >>> 0);
    }
    case 'enum':
    case 'uint32':
    case 'int32':
    case 'int64':
    case 'uint64':
      return writer.bigVarint(BigInt.asUintN(64, integerOf(value, scalar, path)));
  }
}

function writeBytes(writer: BackwardWriter, bytes: Uint8Array): void {
  writer.raw(bytes);
  writer.varint(bytes.length);
}

function bytesFrom(value: unknown, form: RegExp, encoding: 'base64' | 'hex', path: string): Buffer {
  if (typeof value !== 'string' || !form.test(value)) throw expected(path, `${encoding} text`);
  return Buffer.from(value, encoding);
}

function doubleOf(value: unknown, path: string): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'string' && /^(?:NaN|-?Infinity|-?[0-9.eE+-]+)$/.test(value)) {
    const number = Number(value);
    if (value === 'NaN' || !Number.isNaN(number)) return number;
  }
  throw expected(path, 'a number');
}

type IntegerScalar = Exclude<Scalar, 'string' | 'bytes' | 'hex' | 'bool' | 'double'>;

const ranges: Readonly<Record<IntegerScalar, readonly [bigint, bigint]>> = {
  enum: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
};

/** 64-bit numbers are text in JSON; who writes them as numbers loses no digit either. */
function integerOf(value: unknown, scalar: IntegerScalar, path: string): bigint {
  const [least, most] = ranges[scalar];
  const number = bigOf(value);
  if (number === undefined || number < least || number > most)
    throw expected(path, `a whole number from ${least} to ${most}`);
  return number;
}

function bigOf(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : undefined;
  return typeof value === 'string' && /^-?[0-9]{1,20}$/.test(value) ? BigInt(value) : undefined;
}

const expected = (path: string, what: string): OtlpJsonFault =>
  new OtlpJsonFault(`${path === '' ? 'body' : path} must be ${what}`);
