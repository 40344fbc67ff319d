import { scopeName } from './otlp-log-records.ts';
import { writeTime } from './otlp-time.ts';
import { BackwardWriter, bytesType, fixed64Type, varintType } from './protobuf.ts';
import type { Labels, Series } from './series.ts';

// Totals in protobuf, written by hand: going through the objects of the OpenTelemetry SDK was a tenth of what a metric
// cost. Tests compare every byte with its serializer.

/** AggregationTemporality (OTLP's metrics.proto). */
const temporalities = { delta: 1, cumulative: 2 } as const;
export type Temporality = keyof typeof temporalities;

type SeriesOf<T extends Series['type']> = Extract<Series, { type: T }>;

// A writer keeps its room for the next request, unless one was far larger than requests commonly are.
const keptBytesMax = 4 * 1_048_576;

/** Makes metrics requests of series. */
export class MetricsEncoder {
  readonly #instance: string;
  #writer = new BackwardWriter();

  /** @param instance name of this collector: two that share the work keep totals of their own */
  constructor(instance: string) {
    this.#instance = instance;
  }

  /** One resource for each source, in it one metric for each instrument, each in the order of their first points. */
  request(points: Iterable<Series>, temporality: Temporality): Uint8Array {
    const writer = this.#writer;
    // Everything from the last to the first, since the writer writes backwards.
    for (const instruments of bySource(points).reverse()) {
      const before = writer.length;
      for (const own of instruments.reverse()) writeMetric(writer, own, temporality);
      const scope = writer.length;
      writer.textField(1, scopeName);
      writer.delimit(1, scope);
      writer.delimit(2, before);
      this.#writeResource(writer, instruments[0]?.[0]?.source ?? '');
      writer.delimit(1, before);
    }
    const request = writer.take();
    if (request.length > keptBytesMax) this.#writer = new BackwardWriter();
    return request;
  }

  /** A collector's totals are its own: the instance tells them from another collector's. */
  #writeResource(writer: BackwardWriter, source: string): void {
    const before = writer.length;
    // No attribute was dropped.
    writer.varint(0);
    writer.tag(2, varintType);
    writeAttribute(writer, 1, 'service.instance.id', this.#instance);
    writeAttribute(writer, 1, 'service.name', source);
    writer.delimit(1, before);
  }
}

/** Points by source and instrument. */
function bySource(points: Iterable<Series>): Series[][][] {
  const sources = new Map<string, Map<string, Series[]>>();
  // Neighbours are mostly of one instrument.
  let last: Series | undefined;
  let own: Series[] = [];
  for (const one of points) {
    if (last === undefined || !isSameInstrument(last, one)) {
      const instruments = sources.get(one.source) ?? new Map<string, Series[]>();
      sources.set(one.source, instruments);
      const key = `${one.type} ${one.unit.length} ${one.unit}${one.name}`;
      own = instruments.get(key) ?? [];
      instruments.set(key, own);
    }
    own.push(one);
    last = one;
  }
  return [...sources.values()].map((instruments) => [...instruments.values()]);
}

const isSameInstrument = (one: Series, other: Series): boolean =>
  one.name === other.name &&
  one.source === other.source &&
  one.type === other.type &&
  one.unit === other.unit;

/** The fields of `Metric` and of its kinds. */
const dataFields = { gauge: 5, counter: 7, histogram: 9, exponential_histogram: 10 } as const;

/** Points of one instrument. */
function writeMetric(writer: BackwardWriter, points: readonly Series[], temporality: Temporality): void {
  const [first] = points;
  if (first === undefined) return;
  const before = writer.length;
  if (first.type === 'counter') {
    // It never goes down.
    writer.varint(1);
    writer.tag(3, varintType);
  }
  if (first.type !== 'gauge') {
    writer.varint(temporalities[temporality]);
    writer.tag(2, varintType);
  }
  for (let index = points.length - 1; index >= 0; index -= 1) {
    const point = writer.length;
    writePoint(writer, points[index] ?? first);
    writer.delimit(1, point);
  }
  writer.delimit(dataFields[first.type], before);
  if (first.unit !== '') writer.textField(3, first.unit);
  writer.textField(1, first.name);
  writer.delimit(2, before);
}

function writePoint(writer: BackwardWriter, series: Series): void {
  switch (series.type) {
    case 'counter':
      writeNumberPoint(writer, series, series.total);
      break;
    case 'gauge':
      writeNumberPoint(writer, series, series.value);
      break;
    case 'histogram':
      writeHistogram(writer, series);
      break;
    case 'exponential_histogram':
      writeExponential(writer, series);
      break;
  }
}

function writeNumberPoint(writer: BackwardWriter, series: Series, value: number): void {
  writeLabels(writer, 7, series.labels);
  writeDouble(writer, 4, value);
  writeTimes(writer, series);
}

function writeHistogram(writer: BackwardWriter, series: SeriesOf<'histogram'>): void {
  const { bounds, counts, count, sum } = series.histogram;
  writeRange(writer, 11, series.histogram);
  writeLabels(writer, 9, series.labels);
  if (bounds.length > 0) {
    for (let index = bounds.length - 1; index >= 0; index -= 1) writer.double(bounds[index] ?? 0);
    writer.varint(bounds.length * 8);
    writer.tag(7, bytesType);
  }
  if (counts.length > 0) {
    for (let index = counts.length - 1; index >= 0; index -= 1) writeWhole(writer, counts[index] ?? 0);
    writer.varint(counts.length * 8);
    writer.tag(6, bytesType);
  }
  writeDouble(writer, 5, sum);
  writeWhole(writer, count);
  writer.tag(4, fixed64Type);
  writeTimes(writer, series);
}

function writeExponential(writer: BackwardWriter, series: SeriesOf<'exponential_histogram'>): void {
  const { count, sum, scale, zeroCount, positive, negative } = series.histogram;
  writeRange(writer, 12, series.histogram);
  writeBuckets(writer, 9, negative);
  writeBuckets(writer, 8, positive);
  writeWhole(writer, zeroCount);
  writer.tag(7, fixed64Type);
  if (scale !== 0) writeSigned(writer, 6, scale);
  writeDouble(writer, 5, sum);
  writeWhole(writer, count);
  writer.tag(4, fixed64Type);
  writeTimes(writer, series);
  writeLabels(writer, 1, series.labels);
}

function writeBuckets(
  writer: BackwardWriter,
  field: number,
  { offset, counts }: { readonly offset: number; readonly counts: readonly number[] },
): void {
  const before = writer.length;
  if (counts.length > 0) {
    for (let index = counts.length - 1; index >= 0; index -= 1) writer.varint(counts[index] ?? 0);
    writer.delimit(2, before);
  }
  if (offset !== 0) writeSigned(writer, 1, offset);
  writer.delimit(field, before);
}

/** The least and the greatest value, in this field and the next. Of a delta neither is known, and both are left out. */
function writeRange(
  writer: BackwardWriter,
  field: number,
  { min, max }: { readonly min: number; readonly max: number },
): void {
  if (!Number.isFinite(min)) return;
  writeDouble(writer, field + 1, max);
  writeDouble(writer, field, min);
}

/** Until the commit, or the gauge's value: the same whenever it is sent. */
function writeTimes(writer: BackwardWriter, series: Series): void {
  writeTime(writer, 3, series.type === 'gauge' ? series.atMs : series.updatedMs);
  writeTime(writer, 2, series.startMs);
}

function writeLabels(writer: BackwardWriter, field: number, labels: Labels): void {
  for (let index = labels.length - 1; index >= 0; index -= 1) {
    const label = labels[index];
    if (label !== undefined) writeAttribute(writer, field, label[0], label[1]);
  }
}

/** A KeyValue of text. */
function writeAttribute(writer: BackwardWriter, field: number, name: string, value: string): void {
  const before = writer.length;
  writer.textField(1, value);
  writer.delimit(2, before);
  writer.textField(1, name);
  writer.delimit(field, before);
}

function writeDouble(writer: BackwardWriter, field: number, value: number): void {
  writer.double(value);
  writer.tag(field, fixed64Type);
}

/** A whole number in eight bytes, without a tag. */
const writeWhole = (writer: BackwardWriter, value: number): void =>
  writer.fixed64(value >>> 0, (value / 4_294_967_296) >>> 0);

/** A sint32: zigzag (protobuf.dev, "Encoding"). */
function writeSigned(writer: BackwardWriter, field: number, value: number): void {
  writer.varint(((value << 1) ^ (value >> 31)) >>> 0);
  writer.tag(field, varintType);
}
