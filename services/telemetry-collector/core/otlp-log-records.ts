import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import type { AttributeValue, Attributes } from './attribute-values.ts';
import type { LogEntry } from './interpret.ts';
import type { Chunk } from './otlp-chunks.ts';
import type { Slot } from './log-shape.ts';
import { writeTime } from './otlp-time.ts';
import { BackwardWriter, fixed32Type, fixed64Type, varintType } from './protobuf.ts';
import { type FoundValues, ScannedLog } from './scanned-log.ts';

// Log records in protobuf, written by hand: they are the hot path of the collector, and going through the objects of
// the OpenTelemetry SDK costs several times what the bytes cost. Tests compare every byte with its serializer.

/** SeverityNumber of the five levels (OpenTelemetry's log data model). */
export const severityNumbers = {
  debug: 5,
  info: 9,
  warning: 13,
  error: 17,
  critical: 21,
} as const satisfies Record<TelemetryLevel, number>;

/** The name of the instrumentation scope of everything that we make of records. */
export const scopeName = 'trivet-telemetry';

// Resources of sources that are kept; beyond that they are made anew.
const resourcesMax = 1_000;

interface Placed {
  /** Its place in the message. */
  readonly index: number;
  readonly entry: LogEntry;
}

/** Makes log records of entries. */
export class LogRecordEncoder {
  readonly #writer = new BackwardWriter();
  // One object a source, by which `requestOf` knows that chunks belong together.
  readonly #resources = new Map<string, Uint8Array>();
  readonly #scope: Uint8Array;

  constructor() {
    this.#writer.textField(1, scopeName);
    this.#writer.delimit(1, 0);
    this.#scope = this.#writer.take();
  }

  /** One chunk for each source, in the order of their first records. */
  chunks(placed: readonly Placed[]): readonly Chunk[] {
    const source = placed[0]?.entry.source;
    if (source === undefined) return [];
    // Nearly always a message has one source.
    if (placed.every(({ entry }) => entry.source === source)) return [this.#chunk(source, placed)];
    const bySource = Map.groupBy(placed, ({ entry }) => entry.source);
    return [...bySource].map(([name, own]) => this.#chunk(name, own));
  }

  #chunk(source: string, placed: readonly Placed[]): Chunk {
    const writer = this.#writer;
    const ends: number[] = Array.from({ length: placed.length }, () => 0);
    for (let index = placed.length - 1; index >= 0; index -= 1) {
      const one = placed[index];
      if (one === undefined) continue;
      // For now counted from the end, since the first item is written last.
      ends[index] = writer.length;
      const before = writer.length;
      const { entry } = one;
      const found = entry instanceof ScannedLog ? entry.message.found : undefined;
      if (found === undefined) writeRecord(writer, entry);
      else writeScanned(writer, entry as ScannedLog, found);
      writer.delimit(2, before);
    }
    const items = writer.take();
    return {
      resource: this.#resource(source),
      scope: this.#scope,
      items,
      ends: ends.map((behind) => items.length - behind),
      places: placed.map((one) => one.index),
    };
  }

  #resource(source: string): Uint8Array {
    const known = this.#resources.get(source);
    if (known !== undefined) return known;
    const writer = this.#writer;
    writer.varint(0);
    writer.tag(2, varintType);
    writeKeyValue(writer, 1, 'service.name', source);
    writer.delimit(1, 0);
    const resource = writer.take();
    if (this.#resources.size >= resourcesMax) this.#resources.clear();
    this.#resources.set(source, resource);
    return resource;
  }
}

/** Fields from the last to the first, since the writer writes backwards. */
function writeRecord(writer: BackwardWriter, entry: LogEntry): void {
  if (entry.kind === 'event' && entry.body !== '') writer.textField(12, entry.body);
  writeEnd(writer, entry);
  writeAttributes(writer, 6, entry.attributes);
  const before = writer.length;
  writer.textField(1, entry.body);
  writer.delimit(5, before);
  writeBeginning(writer, entry);
}

/** The same of a record whose values are still the bytes that they came as: they go from there to here. */
function writeScanned(writer: BackwardWriter, entry: ScannedLog, { places, numbers }: FoundValues): void {
  const { message, shape, base } = entry;
  const { body } = message;
  writeEnd(writer, entry);
  const { attributes, slots } = shape;
  for (let index = attributes.length - 1; index >= 0; index -= 1) {
    const slot = attributes[index] ?? 0;
    const { type, name } = slots[slot] as Slot;
    const place = base + slot;
    const start = places[place * 2] ?? 0;
    const before = writer.length;
    if (type === 'text') {
      writer.copy(body, start, places[place * 2 + 1] ?? 0);
      writer.delimit(1, before);
    } else if (type === 'number') writeNumber(writer, numbers[place] ?? 0);
    else writeBoolean(writer, body[start] === firstOfTrue);
    writer.delimit(2, before);
    writer.copy(name, 0, name.length);
    writer.delimit(6, before);
  }
  const before = writer.length;
  const place = (base + shape.message) * 2;
  writer.copy(body, places[place] ?? 0, places[place + 1] ?? 0);
  writer.delimit(1, before);
  writer.delimit(5, before);
  writeBeginning(writer, entry);
}

const firstOfTrue = 0x74;

/** What stands behind the attributes. */
function writeEnd(writer: BackwardWriter, { receivedMs, origin }: LogEntry): void {
  writeTime(writer, 11, receivedMs);
  if (origin !== undefined) {
    writeHex(writer, 10, origin.spanId);
    writeHex(writer, 9, origin.traceId);
    if (origin.traceFlags !== 0) {
      writer.fixed32(origin.traceFlags);
      writer.tag(8, fixed32Type);
    }
  }
  writer.varint(0);
  writer.tag(7, varintType);
}

/** What stands before the body. */
function writeBeginning(writer: BackwardWriter, { level, atMs }: LogEntry): void {
  writer.textField(3, level);
  writer.varint(severityNumbers[level]);
  writer.tag(2, varintType);
  writeTime(writer, 1, atMs);
}

function writeAttributes(writer: BackwardWriter, field: number, attributes: Attributes): void {
  const names = Object.keys(attributes);
  for (let index = names.length - 1; index >= 0; index -= 1) {
    const name = names[index] ?? '';
    writeKeyValue(writer, field, name, attributes[name] ?? '');
  }
}

function writeKeyValue(writer: BackwardWriter, field: number, name: string, value: AttributeValue): void {
  const before = writer.length;
  writeAnyValue(writer, value);
  writer.delimit(2, before);
  writer.textField(1, name);
  writer.delimit(field, before);
}

function writeAnyValue(writer: BackwardWriter, value: AttributeValue): void {
  if (typeof value === 'string') writer.textField(1, value);
  else if (typeof value === 'boolean') writeBoolean(writer, value);
  else if (typeof value === 'number') writeNumber(writer, value);
  else if (value instanceof Uint8Array) writer.bytesField(7, value);
  else if (Array.isArray(value)) {
    const before = writer.length;
    const values = value as readonly AttributeValue[];
    for (let index = values.length - 1; index >= 0; index -= 1) {
      const inner = writer.length;
      writeAnyValue(writer, values[index] ?? '');
      writer.delimit(1, inner);
    }
    writer.delimit(5, before);
  } else {
    const before = writer.length;
    writeAttributes(writer, 1, value as Attributes);
    writer.delimit(6, before);
  }
}

function writeBoolean(writer: BackwardWriter, value: boolean): void {
  writer.varint(value ? 1 : 0);
  writer.tag(2, varintType);
}

function writeNumber(writer: BackwardWriter, value: number): void {
  if (Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63) {
    writer.int64(value);
    writer.tag(3, varintType);
  } else {
    writer.double(value);
    writer.tag(4, fixed64Type);
  }
}

function writeHex(writer: BackwardWriter, field: number, hex: string): void {
  writer.bytesField(field, Buffer.from(hex, 'hex'));
}
