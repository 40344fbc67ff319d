import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import type {
  CollectorStats,
  ErrorsQuery,
  ErrorsReply,
  EventsQuery,
  EventsReply,
  LogsQuery,
  LogsReply,
  OperationsQuery,
  OperationsReply,
  PrometheusReply,
  SeriesQuery,
  SeriesReply,
  TelemetryLevel,
} from '#shared/protocol/telemetry-schemas.ts';
import { formatTime, timeMs } from '#shared/protocol/times.ts';
import { type CountedKind, type Figures, countedKinds, inFlight } from './core/figures.ts';
import { percentileOf } from './core/distribution.ts';
import type { LogEntry } from './core/interpret.ts';
import { isAtLeast } from './core/levels.ts';
import { operationFigures } from './core/operations.ts';
import {
  type Exposed,
  type Exposition,
  type PlainMetric,
  contentTypes,
  prometheusText,
} from './core/prometheus-text.ts';
import type { Series } from './core/series.ts';
import type { EventLoopDelay } from './event-loop-delay.ts';
import type { HeldMessages } from './held-messages.ts';
import type { Backlog } from './inbox.ts';
import type { LaneState } from './lane.ts';
import type { Totals } from './totals.ts';

/** Newest records of one kind. */
export interface RecentRecords {
  recent(kind: LogEntry['kind'], limit: number, isWanted: (entry: LogEntry) => boolean): readonly LogEntry[];
}

export interface AnswersOptions {
  readonly collector: string;
  readonly startedMs: number;
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

const recentDefault = 100;
const seriesDefault = 1_000;

/** What a collector tells about what it has counted and kept. */
export class Answers {
  readonly #options: AnswersOptions;

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  stats(): CollectorStats {
    const { collector, startedMs, totals, held, destinations, backlog } = this.#options;
    const { waiting, unacknowledged, redelivered, ageMs } = backlog();
    return {
      collector,
      startedAt: formatTime(startedMs),
      kinds: kindsOf(totals.figures),
      reasons: { ...totals.figures.reasons },
      backlog: { waiting, unacknowledged, redelivered, ageMs },
      held: { messages: held.messages, bytes: held.bytes },
      series: totals.seriesCount,
      eventLoopDelayMs: this.#options.eventLoopDelayMs(),
      destinations: destinations().map((state) => ({ ...state })),
    };
  }

  series(query: SeriesQuery): SeriesReply {
    const found = [...this.#options.totals.series].filter(
      (one) =>
        (query.name === undefined || query.name === one.name) &&
        (query.source === undefined || query.source === one.source),
    );
    return { series: found.slice(0, query.limit ?? seriesDefault).map(seriesView), count: found.length };
  }

  operations(query: OperationsQuery): OperationsReply {
    const figures = operationFigures(this.#options.totals.series, query);
    return { operations: figures.map((one) => ({ ...one })) };
  }

  events(query: EventsQuery): Result<EventsReply> {
    const found = this.#recent('event', query, (one) => query.name === undefined || query.name === one.body);
    return found.ok
      ? accept({ events: found.value.map((one) => ({ name: one.body, ...recentView(one) })) })
      : found;
  }

  errors(query: ErrorsQuery): Result<ErrorsReply> {
    const found = this.#recent(
      'error',
      query,
      (one) => query.type === undefined || query.type === one.attributes['exception.type'],
    );
    return found.ok ? accept({ errors: found.value.map(errorView) }) : found;
  }

  logs(query: LogsQuery): Result<LogsReply> {
    const found = this.#recent('log', query, () => true);
    return found.ok
      ? accept({ logs: found.value.map((one) => ({ message: one.body, ...recentView(one) })) })
      : found;
  }

  prometheus(exposition: Exposition): PrometheusReply {
    return { contentType: contentTypes[exposition], text: prometheusText([this.exposed()], exposition) };
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

function seriesView(series: Series): SeriesReply['series'][number] {
  const { name, type, source, unit } = series;
  const common = {
    name,
    type,
    source,
    ...(unit === '' ? {} : { unit }),
    tags: Object.fromEntries(series.labels),
  };
  if (series.type === 'counter') return { ...common, value: series.total };
  if (series.type === 'gauge') return { ...common, value: series.value };
  const { count, sum, min, max } = series.histogram;
  if (count === 0) return { ...common, count, sum };
  const at = (share: number): number => percentileOf(series, share) ?? 0;
  return { ...common, count, sum, min, max, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

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
