import { type CountedKind, type Figures, addFigures, emptyFigures } from './core/figures.ts';
import type { LogEntry, Origin } from './core/interpret.ts';
import type { Lesson } from './core/known-records.ts';
import { itemsIn } from './core/otlp-chunks.ts';
import type { Exemplar } from './core/prometheus-text.ts';
import { type Known, nothingKnown } from './core/read-message.ts';
import type { DeadLetter, DeadReason, KeptRecord, KnownBatch, Places, ReadMessage } from './core/reading.ts';
import {
  type MetricUpdate,
  type Rejection,
  type Series,
  type SeriesLimits,
  SeriesTable,
  count,
  isOverflow,
  snapshotOf,
} from './core/series.ts';
import { isRejection, rejectedLetters } from './core/rejected-letters.ts';
import { SeriesSet } from './core/series-set.ts';
import { type ErrorGroupLimits, ErrorGroups } from './core/error-groups.ts';
import { DestinationAccounts, type Reached } from './core/destination-accounts.ts';
import { HistoryRecorder, defaultTiers } from './core/history.ts';
import type { Change, Marker, Recovered } from './collector-service.ts';

/** Records by kind. */
export type PendingRecords = Partial<Record<CountedKind, number>>;

const defaultGroupLimits: ErrorGroupLimits = { groupsMax: 1_000, ageMsMax: 30 * 86_400_000 };

/** A message that is counted for the first time, or again. */
export interface Arrival {
  readonly sequence: number;
  readonly read: ReadMessage;
  /** False where there is nobody to send it to: then it is done with this commit. */
  readonly mustBeSent: boolean;
  /** Whether its records may be known again by their bytes. */
  readonly mayLearn: boolean;
  /** How many of the records that found a series each destination is to get. */
  readonly wanted: (kept: readonly KeptRecord[]) => ReadonlyMap<string, number>;
}

/** What an arrival comes to. */
export interface Applied {
  readonly kept: readonly KeptRecord[];
  /** Places of the records that count in series. */
  readonly counted: Places;
  /** Its series, each once. What they are after this group, `snapshots` tells once the group is taken. */
  readonly series: readonly Series[];
  /** Dead letters that nobody has stored yet; empty for a message that comes again. */
  readonly letters: readonly DeadLetter[];
}

/** A message whose records have all arrived where they must be. */
export interface Settled {
  readonly sequence: number;
  readonly kind: CountedKind;
  /** Records among them that a destination refused for good; they are dead letters now. */
  readonly refused: number;
}

/**
 * Everything that is counted: series, figures, and which messages are in them. What `apply` and `settle` change
 * gathers into one change, which `takeChange` hands over to be committed; readers see what is committed.
 */
export class Totals {
  readonly #table: SeriesTable;
  readonly #figures: Figures = emptyFigures();
  readonly #markers = new Map<number, Marker>();
  /** By id, as of the last commit: what may be shown and sent. */
  readonly #committed = new Map<number, Series>();
  /** What records have come to before, so that they need not be decoded. */
  #known = nothingKnown();
  #committedFigures: Figures = emptyFigures();
  #committedPending: PendingRecords = {};
  readonly #accounts = new DestinationAccounts();
  #committedAccounts: Change['accounts'] = { ended: {}, pending: {} };
  readonly #undelivered = new Map<number, { readonly kind: CountedKind; readonly records: number }>();
  /** The newest value of each series that came from a span, by the series' id. Not kept over a restart. */
  readonly exemplars = new Map<number, Exemplar>();
  readonly #changedSeries = new SeriesSet();
  readonly #messageSeries = new SeriesSet();
  #changedMarkers = new Map<number, Marker>();
  #forgotten: number[] = [];
  #recent: LogEntry[] = [];

  readonly groups: ErrorGroups;
  readonly history = new HistoryRecorder(defaultTiers);

  constructor(limits: SeriesLimits, groupLimits: ErrorGroupLimits = defaultGroupLimits) {
    this.#table = new SeriesTable(limits);
    this.groups = new ErrorGroups(groupLimits);
  }

  /** As of the last commit. */
  get figures(): Figures {
    return this.#committedFigures;
  }

  /** Records of messages that are not delivered yet, as of the same commit: added up message by message. */
  get pending(): PendingRecords {
    return this.#committedPending;
  }

  /** The account of each destination, as of the same commit. */
  get accounts(): Change['accounts'] {
    return this.#committedAccounts;
  }

  /** What each source has, and what found no room. */
  get uses(): ReturnType<SeriesTable['uses']> {
    return this.#table.uses();
  }

  /** True when the message is in the totals. */
  isCounted(sequence: number): boolean {
    return this.#markers.has(sequence);
  }

  get series(): Iterable<Series> {
    return this.#committed.values();
  }

  get seriesCount(): number {
    return this.#committed.size;
  }

  get known(): Known {
    return this.#known;
  }

  /** Records are decoded again: they may come to something else now. */
  forgetKnown(): void {
    this.#known = nothingKnown();
  }

  recover(recovered: Recovered): void {
    addFigures(this.#figures, recovered.figures);
    this.#committedFigures = structuredClone(this.#figures);
    for (const series of recovered.series) {
      this.#table.restore(series);
      this.#committed.set(series.id, snapshotOf(series));
    }
    for (const [sequence, marker] of recovered.markers) {
      this.#markers.set(sequence, marker);
      this.#follow(sequence, marker);
    }
    this.#committedPending = this.#pendingRecords();
    const onTheirWay = [...recovered.markers].flatMap(([sequence, { to }]) =>
      to === undefined ? [] : [[sequence, to] as const],
    );
    this.#accounts.recover(recovered.accounts, onTheirWay);
    this.#committedAccounts = this.#accountsNow();
    this.groups.restore(recovered.groups);
  }

  /** True when the message was counted and delivered: only its acknowledgement was lost. */
  isDelivered(sequence: number): boolean {
    return this.#markers.get(sequence)?.delivered === true;
  }

  /** Counts one message, once: when it comes again, it is only told apart into what is to be sent. */
  apply({ sequence, read, mustBeSent, mayLearn, wanted }: Arrival): Applied {
    if (this.#markers.has(sequence)) {
      if (!mustBeSent) this.settle({ sequence, kind: read.kind, refused: 0 });
      if (!mustBeSent) this.#accounts.dropWays(sequence);
      return this.#again(read);
    }
    const rejected: Record<Rejection, number[]> = { series_limit: [], type_conflict: [] };
    const kept: KeptRecord[] = [];
    const counted: number[] = [];
    // In the order of the message, as if all had been decoded: sums of fractions depend on it, and so do gauges.
    const { known } = read;
    let next = 0;
    for (const record of read.kept) {
      for (; next < known.length && (known.places[next] ?? 0) < record.index; next += 1)
        this.#countKnown(known, next, read.origin);
      if (record.updates.length === 0) {
        kept.push(record);
        continue;
      }
      const changed = this.#table.apply(record.updates);
      if (isRejection(changed)) rejected[changed].push(record.index);
      else {
        kept.push(record);
        if (changed.length > 0) counted.push(record.index);
        for (const [place, one] of changed.entries()) {
          this.#touch(one);
          this.#exemplify(one, record.updates[place], read.origin);
        }
        if (mayLearn && record.lesson !== undefined && !changed.some(isOverflow))
          this.#learn(read.kind, record.lesson, changed);
      }
    }
    for (; next < known.length; next += 1) this.#countKnown(known, next, read.origin);
    const letters = [...read.dead, ...rejectedLetters(read, rejected)];
    const records = recordsOf(read, kept.length + read.known.length);
    this.#count(read, { records, dead: letters.map((letter) => letter.reason), exported: !mustBeSent });
    const { filtered, sampled } = read;
    const counts = { records, dead: letters.length, filtered, sampled, wanted: wanted(kept) };
    const to = this.#accounts.arrive(sequence, counts);
    if (!mustBeSent) this.#accounts.dropWays(sequence);
    const ways = to === undefined || !mustBeSent ? {} : { to };
    this.#mark(sequence, { delivered: !mustBeSent, records, kind: read.kind, ...ways });
    for (const { entry } of kept) {
      if (entry === undefined || !('kind' in entry)) continue;
      this.#recent.push(entry);
      if (entry.kind === 'error') this.groups.apply(entry);
    }
    return { kept, counted: allPlaces(counted, known), letters, series: this.#messageSeries.take() };
  }

  /** Destinations that a message is on its way to. */
  readonly expectedBy = (sequence: number): readonly string[] => this.#accounts.waysOf(sequence);

  /** Lanes that have their part of a message already. */
  sentTo(sequence: number): readonly string[] {
    return this.#markers.get(sequence)?.sentTo ?? [];
  }

  /** A lane has its part, and others have not. */
  progress(sequence: number, lane: string): void {
    const marker = this.#markers.get(sequence);
    if (marker === undefined || marker.delivered) return;
    this.#mark(sequence, { ...marker, sentTo: [...(marker.sentTo ?? []), lane] });
  }

  /** A message's way to one destination is over. */
  reach(reached: Reached): void {
    const to = this.#accounts.reach(reached);
    const marker = this.#markers.get(reached.sequence);
    if (to !== undefined && marker?.to !== undefined) this.#mark(reached.sequence, { ...marker, to });
  }

  settle({ sequence, kind, refused }: Settled): void {
    const marker = this.#markers.get(sequence);
    if (marker === undefined || marker.delivered) return;
    const figures = this.#figures.kinds[kind];
    figures.exported += marker.records - refused;
    if (refused > 0) this.#countDead(kind, 'refused_by_destination', refused);
    this.#mark(sequence, { delivered: true, records: marker.records, kind });
  }

  /** Forgets what can never come again: JetStream has every acknowledgement up to `floor`. */
  forgetThrough(floor: number): void {
    for (const sequence of this.#markers.keys()) {
      if (sequence > floor) continue;
      this.#markers.delete(sequence);
      this.#undelivered.delete(sequence);
      this.#forgotten.push(sequence);
    }
  }

  /**
   * Everything since the last call. Call `committed` with it once it is durable.
   * @param nowMs the time that everything in it has changed at
   */
  takeChange(nowMs: number): Change {
    const series = this.#changedSeries.take().map((one) => {
      // A clock that was set back does not make time run backwards.
      one.updatedMs = Math.max(nowMs, one.updatedMs);
      // What a producer dates into the future has begun when it was counted.
      one.startMs = Math.min(one.startMs, one.updatedMs);
      // And a gauge would hold on to such a value until that time comes.
      if (one.type === 'gauge') one.atMs = Math.min(one.atMs, one.updatedMs);
      return snapshotOf(one);
    });
    const change: Change = {
      figures: structuredClone(this.#figures),
      series,
      created: series.filter((one) => !this.#committed.has(one.id)),
      markers: this.#changedMarkers,
      forgotten: this.#forgotten,
      recent: this.#recent,
      groups: this.groups.takeChange(nowMs),
      history: this.history.note(series, nowMs),
      pending: this.#pendingRecords(),
      accounts: this.#accountsNow(),
      atMs: nowMs,
    };
    this.#changedMarkers = new Map();
    this.#forgotten = [];
    this.#recent = [];
    return change;
  }

  committed(change: Change): void {
    this.#committedFigures = change.figures;
    this.#committedPending = change.pending;
    this.#committedAccounts = change.accounts;
    for (const series of change.series) this.#committed.set(series.id, series);
  }

  /** These series as of the last commit. */
  snapshots(series: readonly Series[]): readonly Series[] {
    // What was counted is committed by then.
    return series.map((one) => this.#committed.get(one.id) ?? one);
  }

  #learn(kind: CountedKind, lesson: Lesson, series: readonly Series[]): void {
    if (kind === 'metric' || kind === 'performance') this.#known[kind].learn(lesson, series);
  }

  #countKnown(known: KnownBatch, at: number, origin: Origin | undefined): void {
    const series = known.series[at] ?? [];
    const first = series[0];
    if (first === undefined) return;
    const value = known.valueAt(at);
    const atMs = known.timeAt(at);
    if (origin !== undefined) this.#exemplify(first, { value, atMs }, origin);
    // The most frequent of all, and numbers that are handed on are allocated.
    if (first.type === 'counter') first.total += value;
    else count(first, value, atMs);
    this.#touch(first);
    const second = series.length > 1 ? series[1] : undefined;
    if (second === undefined) return;
    count(second, 1, atMs);
    this.#touch(second);
  }

  #exemplify(
    { id, type }: Series,
    counted: Pick<MetricUpdate, 'value' | 'atMs'> | undefined,
    origin: Origin | undefined,
  ): void {
    if (origin === undefined || counted === undefined || type === 'gauge') return;
    const { value, atMs } = counted;
    this.exemplars.set(id, { value, atMs, traceId: origin.traceId, spanId: origin.spanId });
  }

  #touch(series: Series): void {
    this.#changedSeries.add(series);
    this.#messageSeries.add(series);
  }

  /** What a message that is counted already has to be sent of. */
  #again(read: ReadMessage): Applied {
    const counted: number[] = [];
    for (const record of read.kept) {
      const found = record.updates.flatMap((update) => this.#table.find(update) ?? []);
      if (found.length > 0) counted.push(record.index);
      for (const one of found) this.#messageSeries.add(one);
    }
    for (const series of read.known.series) for (const one of series) this.#messageSeries.add(one);
    const series = this.#messageSeries.take();
    return { kept: read.kept, counted: allPlaces(counted, read.known), letters: [], series };
  }

  #count(
    read: ReadMessage,
    counted: { readonly records: number; readonly dead: readonly DeadReason[]; readonly exported: boolean },
  ): void {
    const figures = this.#figures.kinds[read.kind];
    figures.received += counted.records + counted.dead.length + read.filtered + read.sampled;
    figures.filtered += read.filtered;
    figures.sampled += read.sampled;
    if (counted.exported) figures.exported += counted.records;
    for (const reason of counted.dead) this.#countDead(read.kind, reason, 1);
  }

  #countDead(kind: CountedKind, reason: DeadReason, count: number): void {
    this.#figures.kinds[kind].deadLettered += count;
    this.#figures.reasons[reason] = (this.#figures.reasons[reason] ?? 0) + count;
  }

  #mark(sequence: number, marker: Marker): void {
    this.#markers.set(sequence, marker);
    this.#changedMarkers.set(sequence, marker);
    this.#follow(sequence, marker);
  }

  #follow(sequence: number, { delivered, records, kind }: Marker): void {
    if (delivered) this.#undelivered.delete(sequence);
    else this.#undelivered.set(sequence, { kind, records });
  }

  #accountsNow(): Change['accounts'] {
    return { ended: this.#accounts.snapshot(), pending: this.#accounts.pending() };
  }

  #pendingRecords(): PendingRecords {
    const pending: PendingRecords = {};
    for (const { kind, records } of this.#undelivered.values())
      pending[kind] = (pending[kind] ?? 0) + records;
    return pending;
  }
}

/** Places of records that were decoded and of those that were known, in their order. */
function allPlaces(decoded: readonly number[], known: KnownBatch): Places {
  const places = known.places.subarray(0, known.length);
  if (decoded.length === 0) return places;
  return places.length === 0 ? decoded : [...decoded, ...places].sort((one, other) => one - other);
}

/** Each item of an OTLP request counts as a record. */
const recordsOf = (read: ReadMessage, kept: number): number =>
  read.otlp === undefined ? kept : itemsIn(read.otlp.chunks);
