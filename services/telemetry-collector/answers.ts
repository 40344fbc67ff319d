import { durationMs } from '#shared/protocol/durations.ts';
import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import type {
  ErrorsQuery,
  EventsQuery,
  HistoryQuery,
  LogsQuery,
} from '#shared/protocol/telemetry-queries.ts';
import type { TelemetryLevel } from '#shared/protocol/telemetry-records.ts';
import type {
  CollectorStats,
  ErrorsReply,
  EventsReply,
  HistoryReply,
  LogsReply,
  SeriesReply,
} from '#shared/protocol/telemetry-replies.ts';
import { formatTime, timeMs } from '#shared/protocol/times.ts';
import { isDistribution, percentileOf } from './core/distribution.ts';
import { endedOf } from './core/destination-accounts.ts';
import type { DropExample, DropExamples } from './core/drop-examples.ts';
import type { ErrorGroup } from './core/error-groups.ts';
import { type CountedKind, type Figures, countedKinds, inFlight } from './core/figures.ts';
import { type HistoryRow, defaultTiers, numbersPerPoint, tierFor } from './core/history.ts';
import { type LogEntry, operationCount, operationDuration } from './core/interpret.ts';
import { isAtLeast } from './core/levels.ts';
import { overflowOf } from './core/overflow.ts';
import type { Exposed, PlainMetric } from './core/prometheus-text.ts';
import type { Series } from './core/series.ts';
import type { EventLoopDelay } from './event-loop-delay.ts';
import type { HeldMessages } from './held-messages.ts';
import type { HistoryPoint } from './history-table.ts';
import type { Backlog } from './inbox.ts';
import type { LaneState } from './lane.ts';
import type { PendingRecords, Totals } from './totals.ts';

/** Newest records of one kind. */
export interface RecentRecords {
  recent(kind: LogEntry['kind'], limit: number, isWanted: (entry: LogEntry) => boolean): readonly LogEntry[];
  points(id: number, tier: number, fromMs: number, toMs: number): readonly HistoryPoint[];
}

export interface AnswersOptions {
  readonly collector: string;
  readonly startedMs: number;
  readonly nowMs: () => number;
  readonly examples: DropExamples;
  readonly totals: Totals;
  readonly held: HeldMessages;
  readonly recent: RecentRecords;
  readonly destinations: () => readonly LaneState[];
  readonly eventLoopDelayMs: () => EventLoopDelay;
  readonly backlog: () => Omit<Backlog, 'acknowledgedThrough'>;
}

interface RecentFilter {
  readonly source?: string;
  readonly level?: TelemetryLevel;
  readonly since?: string | number;
  readonly limit?: number;
}

export const recentDefault = 100;
const historyMsDefault = 3_600_000;
const historySeriesDefault = 20;

/** What a collector tells about what it has counted and kept. */
export class Answers {
  readonly #options: AnswersOptions;

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  stats(): CollectorStats {
    const { collector, startedMs, totals, held, destinations, backlog, examples } = this.#options;
    const { waiting, unacknowledged, redelivered, ageMs } = backlog();
    return {
      collector,
      collectors: [collector],
      startedAt: formatTime(startedMs),
      kinds: kindsOf(totals.figures),
      reasons: { ...totals.figures.reasons },
      account: accountOf(totals.figures, totals.pending),
      accounts: accountsOf(totals.accounts),
      examples: Object.fromEntries([...examples.all].map(([reason, one]) => [reason, exampleView(one)])),
      overflow: overflowOf(totals.uses, totals.series).map((one) => ({
        ...one,
        names: one.names.map((name) => ({ ...name })),
      })),
      backlog: { waiting, unacknowledged, redelivered, ageMs },
      held: { messages: held.messages, bytes: held.bytes },
      series: totals.seriesCount,
      eventLoopDelayMs: this.#options.eventLoopDelayMs(),
      destinations: destinations().map((state) => ({ ...state })),
    };
  }

  seriesOf({ name, source }: { readonly name?: string; readonly source?: string }): readonly Series[] {
    return [...this.#options.totals.series].filter(
      (one) => (name === undefined || name === one.name) && (source === undefined || source === one.source),
    );
  }

  operationSeries(): readonly Series[] {
    return [...this.#options.totals.series].filter(
      (one) => one.name === operationDuration || one.name === operationCount,
    );
  }

  events(query: EventsQuery): Result<EventsReply['events']> {
    const found = this.#recent('event', query, (one) => query.name === undefined || query.name === one.body);
    return found.ok ? accept(found.value.map((one) => ({ name: one.body, ...recentView(one) }))) : found;
  }

  errors(query: ErrorsQuery): Result<ErrorsReply['errors']> {
    const found = this.#recent(
      'error',
      query,
      (one) => query.type === undefined || query.type === one.attributes['exception.type'],
    );
    return found.ok ? accept(found.value.map(errorView)) : found;
  }

  logs(query: LogsQuery): Result<LogsReply['logs']> {
    const found = this.#recent('log', query, () => true);
    return found.ok ? accept(found.value.map((one) => ({ message: one.body, ...recentView(one) }))) : found;
  }

  /** Error groups, and how many errors were ever kept. */
  groups({ type, source }: ErrorsQuery): readonly ErrorGroup[] {
    return this.#options.totals.groups.all.filter(
      (one) =>
        (type === undefined || type === one.type) && (source === undefined || one.sources.includes(source)),
    );
  }

  errorsKept(): number {
    const { received, filtered, sampled } = this.#options.totals.figures.kinds.error;
    return received - filtered - sampled;
  }

  history(query: HistoryQuery): Result<HistoryReply> {
    const { totals, recent, collector, nowMs } = this.#options;
    const now = nowMs();
    const fromMs = query.from === undefined ? now - historyMsDefault : timeMs(query.from);
    const toMs = query.to === undefined ? now : timeMs(query.to);
    if (fromMs === undefined) return refuseField('from', 'is no time that exists');
    if (toMs === undefined) return refuseField('to', 'is no time that exists');
    const stepMs = query.step === undefined ? 0 : durationMs(query.step);
    const tier = tierFor(defaultTiers, fromMs, now, stepMs);
    const wanted = this.seriesOf(query).filter(({ labels }) =>
      Object.entries(query.tags ?? {}).every(([tag, value]) =>
        labels.some(([name, text]) => name === tag && text === String(value)),
      ),
    );
    const unfinished = totals.history.unfinished().filter((row) => row.tier === tier);
    const series = wanted.slice(0, query.limit ?? historySeriesDefault).map((one) => {
      const latest = unfinished
        .filter((row) => row.atMs >= fromMs && row.atMs <= toMs)
        .flatMap((row) => pointsIn(row, one.id));
      // A step in which the process was started again is kept already, as it was before that.
      const kept = recent
        .points(one.id, tier, fromMs, toMs)
        .filter(({ atMs }) => latest.every((point) => point.atMs !== atMs));
      const points = [...kept, ...latest];
      return {
        ...seriesName(one),
        collector,
        points: points.map(({ atMs, value, sum }) => ({
          at: formatTime(atMs),
          value,
          ...(isDistribution(one) ? { sum } : {}),
        })),
      };
    });
    return accept({ stepMs: defaultTiers[tier]?.stepMs ?? 0, series });
  }

  /** What this collector alone has to show to Prometheus. */
  exposed(): Exposed {
    const { totals, collector } = this.#options;
    return { collector, series: totals.series, exemplars: totals.exemplars, own: this.#ownMetrics() };
  }

  #recent(
    kind: LogEntry['kind'],
    filter: RecentFilter,
    isWanted: (entry: LogEntry) => boolean,
  ): Result<readonly LogEntry[]> {
    const sinceMs = filter.since === undefined ? 0 : timeMs(filter.since);
    if (sinceMs === undefined) return refuseField('since', 'is no time that exists');
    const { source, level } = filter;
    return accept(
      this.#options.recent.recent(
        kind,
        filter.limit ?? recentDefault,
        (one) =>
          one.atMs >= sinceMs &&
          (source === undefined || source === one.source) &&
          (level === undefined || isAtLeast(one.level, level)) &&
          isWanted(one),
      ),
    );
  }

  #ownMetrics(): readonly PlainMetric[] {
    const { totals, held, destinations, backlog, collector } = this.#options;
    const own = [['collector', collector] as const];
    const gauge = (name: string, help: string, value: number): PlainMetric => ({
      name,
      help,
      type: 'gauge',
      points: [{ labels: own, value }],
    });
    return [
      {
        name: 'trivet_telemetry_records_total',
        help: 'Records by kind and by what became of them.',
        type: 'counter',
        points: countedKinds.flatMap((kind) =>
          Object.entries(totals.figures.kinds[kind]).map(([outcome, value]) => ({
            labels: [...own, ['kind', kind] as const, ['outcome', outcome] as const],
            value,
          })),
        ),
      },
      {
        name: 'trivet_telemetry_dead_letters_total',
        help: 'Dead-lettered records by reason.',
        type: 'counter',
        points: Object.entries(totals.figures.reasons).map(([reason, value]) => ({
          labels: [...own, ['reason', reason] as const],
          value,
        })),
      },
      {
        name: 'trivet_telemetry_destination_up',
        help: '1 where the last request was answered, 0 where it is being sent again.',
        type: 'gauge',
        points: destinations().map(({ name, state }) => ({
          labels: [...own, ['destination', name] as const],
          value: state === 'up' ? 1 : 0,
        })),
      },
      gauge('trivet_telemetry_backlog_messages', 'Messages that nobody has taken.', backlog().waiting),
      gauge('trivet_telemetry_held_messages', 'Messages taken and not acknowledged.', held.messages),
      gauge('trivet_telemetry_held_bytes', 'Bytes of the messages held.', held.bytes),
      gauge('trivet_telemetry_series', 'Series that are kept.', totals.seriesCount),
    ];
  }
}

function kindsOf(figures: Figures): CollectorStats['kinds'] {
  const one = (kind: CountedKind) => ({ ...figures.kinds[kind], inFlight: inFlight(figures, kind) });
  return {
    metric: one('metric'),
    event: one('event'),
    performance: one('performance'),
    error: one('error'),
    log: one('log'),
    otlp: one('otlp'),
    other: one('other'),
  };
}

const seriesName = ({ name, type, source, unit, labels }: Series) => ({
  name,
  type,
  source,
  ...(unit === '' ? {} : { unit }),
  tags: Object.fromEntries(labels),
});

export function seriesView(series: Series, collector: string): SeriesReply['series'][number] {
  const common = { ...seriesName(series), collector };
  if (series.type === 'counter') return { ...common, value: series.total };
  if (series.type === 'gauge') return { ...common, value: series.value };
  const { count, sum, min, max } = series.histogram;
  if (count === 0) return { ...common, count, sum };
  const at = (share: number): number => percentileOf(series, share) ?? 0;
  return { ...common, count, sum, min, max, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** Where the records are: what was received, and the ends that it can come to, each counted on its own. */
export function accountOf(figures: Figures, pending: PendingRecords): CollectorStats['account'] {
  const sums = { received: 0, exported: 0, filtered: 0, sampled: 0, deadLettered: 0, pending: 0 };
  for (const kind of countedKinds) {
    const own = figures.kinds[kind];
    sums.received += own.received;
    sums.exported += own.exported;
    sums.filtered += own.filtered;
    sums.sampled += own.sampled;
    sums.deadLettered += own.deadLettered;
    sums.pending += pending[kind] ?? 0;
  }
  const ended = sums.exported + sums.filtered + sums.sampled + sums.deadLettered + sums.pending;
  return { ...sums, balanced: sums.received === ended };
}

const accountsOf = ({ ended, pending }: Totals['accounts']): CollectorStats['accounts'] =>
  Object.entries(ended).map(([destination, account]) => {
    const waits = pending[destination] ?? 0;
    const balanced = account.received === endedOf(account) + waits;
    return { destination, ...account, pending: waits, balanced };
  });

const exampleView = ({ atMs, subject, sequence, index, message, record }: DropExample) => ({
  at: formatTime(atMs),
  subject,
  message,
  record,
  ...(sequence === undefined ? {} : { sequence }),
  ...(index === undefined ? {} : { index }),
});

function pointsIn({ atMs, numbers }: HistoryRow, id: number): readonly HistoryPoint[] {
  for (let at = 0; at < numbers.length; at += numbersPerPoint)
    if (numbers[at] === id) return [{ atMs, value: numbers[at + 1] ?? 0, sum: numbers[at + 2] ?? 0 }];
  return [];
}

/** A record as a tail shows it. */
export const tailView = (entry: LogEntry): object =>
  entry.kind === 'event'
    ? { kind: entry.kind, name: entry.body, ...recentView(entry) }
    : entry.kind === 'log'
      ? { kind: entry.kind, message: entry.body, ...recentView(entry) }
      : { kind: entry.kind, ...errorView(entry) };

const recentView = (entry: LogEntry) => ({
  at: formatTime(entry.atMs),
  source: entry.source,
  level: entry.level,
  attributes: { ...entry.attributes },
  ...(entry.origin === undefined ? {} : { traceId: entry.origin.traceId }),
});

function errorView(entry: LogEntry): ErrorsReply['errors'][number] {
  const { 'exception.type': type, 'exception.stacktrace': stack, ...rest } = entry.attributes;
  const { 'exception.message': _message, ...attributes } = rest;
  return {
    message: entry.body,
    ...(typeof type === 'string' ? { type } : {}),
    ...(typeof stack === 'string' ? { stack } : {}),
    ...recentView({ ...entry, attributes }),
  };
}
