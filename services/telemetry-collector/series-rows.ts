import { packRecord, unpackRecord } from '#shared/runtime/record-codec.ts';
import type { Environment, Table, Writes } from '#shared/runtime/lmdb.ts';
import { type Distribution, isDistribution } from './core/distribution.ts';
import type { ExponentialHistogram } from './core/exponential-histogram.ts';
import type { Series } from './core/series.ts';

// A commit changes most series of a busy collector, and of each only a few numbers. So what a series is stands in a
// row that is written once, and the numbers of 64 series share a row: a thousand series are sixteen rows.
const seriesPerPage = 64;
const numbersPerSeries = 3;

type Identity = Omit<Series, 'total' | 'value' | 'atMs' | 'updatedMs' | 'histogram'> & {
  readonly bounds?: readonly number[];
};

/** The series in LMDB. */
export class SeriesRows {
  readonly #identities: Table<number>;
  readonly #pages: Table<number>;
  readonly #distributions: Table<number>;
  /** The pages as they are stored. */
  readonly #numbers = new Map<number, Float64Array>();

  constructor(environment: Environment) {
    this.#identities = environment.table('series');
    this.#pages = environment.table('series-numbers');
    this.#distributions = environment.table('series-histograms');
  }

  read(): readonly Series[] {
    for (const { key, value } of this.#pages.getRange()) this.#numbers.set(key, numbersOf(value));
    return [...this.#identities.getRange()].map(({ key, value }) =>
      this.#seriesOf({ ...(unpackRecord(value) as Identity), id: key }),
    );
  }

  /** What is to be written, encoded now: the objects go on changing. */
  change(created: readonly Series[], changed: readonly Series[]): (writes: Writes) => void {
    const identities = created.map((one) => [one.id, bytesOf(packRecord(identityOf(one)))] as const);
    const distributions = changed
      .filter(isDistribution)
      .map((one) => [one.id, bytesOf(distributionNumbers(one))] as const);
    const pages = new Map<number, Float64Array>();
    for (const one of changed) {
      if (isDistribution(one)) continue;
      const place = Math.floor(one.id / seriesPerPage);
      const page = this.#page(place);
      pages.set(place, page);
      const at = (one.id % seriesPerPage) * numbersPerSeries;
      page[at] = one.updatedMs;
      page[at + 1] = one.type === 'counter' ? one.total : one.value;
      page[at + 2] = one.type === 'counter' ? 0 : one.atMs;
    }
    const rows = [...pages].map(([place, page]) => [place, bytesOf(page.slice())] as const);
    return (writes) => {
      for (const [id, value] of identities) writes.put(this.#identities, id, value);
      for (const [id, value] of distributions) writes.put(this.#distributions, id, value);
      for (const [place, value] of rows) writes.put(this.#pages, place, value);
    };
  }

  #page(place: number): Float64Array {
    const known = this.#numbers.get(place);
    if (known !== undefined) return known;
    const made = new Float64Array(seriesPerPage * numbersPerSeries);
    this.#numbers.set(place, made);
    return made;
  }

  #seriesOf({ bounds = [], ...identity }: Identity): Series {
    const { id, type } = identity;
    if (type === 'histogram' || type === 'exponential_histogram') {
      const row = this.#distributions.get(id);
      const numbers = row === undefined ? new Float64Array() : numbersOf(row);
      const [updatedMs = 0] = numbers;
      if (type === 'histogram')
        return { ...identity, type, updatedMs, histogram: explicitFrom(numbers, bounds) };
      return { ...identity, type, updatedMs, histogram: exponentialFrom(numbers) };
    }
    const at = (id % seriesPerPage) * numbersPerSeries;
    const page = this.#page(Math.floor(id / seriesPerPage));
    const [updatedMs = 0, value = 0, atMs = 0] = page.subarray(at, at + numbersPerSeries);
    return type === 'counter'
      ? { ...identity, type, updatedMs, total: value }
      : { ...identity, type, updatedMs, value, atMs };
  }
}

function identityOf(series: Series): Identity {
  const { id, source, name, unit, labels, startMs, type } = series;
  const bounds = type === 'histogram' ? { bounds: series.histogram.bounds } : {};
  return { id, source, name, unit, labels, startMs, type, ...bounds };
}

const bytesOf = (from: Float64Array | Uint8Array): Buffer =>
  Buffer.from(from.buffer as ArrayBuffer, from.byteOffset, from.byteLength);

/** A copy, since a row need not begin where doubles may. */
const numbersOf = (row: Buffer): Float64Array => new Float64Array(new Uint8Array(row).buffer);

function distributionNumbers(series: Distribution): Float64Array {
  const { count, sum, min, max } = series.histogram;
  const common = [series.updatedMs, count, sum, min, max];
  if (series.type === 'histogram') return Float64Array.of(...common, ...series.histogram.counts);
  const { scale, zeroCount, positive, negative } = series.histogram;
  const sides = [positive, negative].flatMap(({ offset, counts }) => [offset, counts.length, ...counts]);
  return Float64Array.of(...common, scale, zeroCount, ...sides);
}

function explicitFrom(numbers: Float64Array, bounds: readonly number[]) {
  const [, count = 0, sum = 0, min = Infinity, max = -Infinity] = numbers;
  const counts = Array.from({ length: bounds.length + 1 }, (_, index) => numbers[index + 5] ?? 0);
  return { bounds, counts, count, sum, min, max };
}

function exponentialFrom(numbers: Float64Array): ExponentialHistogram {
  const [, count = 0, sum = 0, min = Infinity, max = -Infinity, scale = 0, zeroCount = 0] = numbers;
  const side = (at: number) => ({
    offset: numbers[at] ?? 0,
    counts: [...numbers.subarray(at + 2, at + 2 + (numbers[at + 1] ?? 0))],
  });
  const positive = side(7);
  return { count, sum, min, max, scale, zeroCount, positive, negative: side(9 + positive.counts.length) };
}
