import { type Result, accept, refuse } from '#shared/protocol/errors.ts';
import type {
  ErrorsQuery,
  EventsQuery,
  HistoryQuery,
  LogsQuery,
  OperationsQuery,
  SeriesQuery,
  TailQuery,
} from '#shared/protocol/telemetry-queries.ts';
import type {
  AlertsReply,
  CollectorStats,
  ErrorsReply,
  EventsReply,
  HistoryReply,
  LogsReply,
  OperationsReply,
  PrometheusReply,
  SeriesReply,
  TailReply,
} from '#shared/protocol/telemetry-replies.ts';
import { durationMs } from '#shared/protocol/durations.ts';
import { formatTime } from '#shared/protocol/times.ts';
import { type Answers, recentDefault, seriesView } from './answers.ts';
import { addedStats } from './cluster-stats.ts';
import { type ErrorGroup, mergedGroup } from './core/error-groups.ts';
import { operationFigures } from './core/operations.ts';
import {
  type Exemplar,
  type Exposed,
  type Exposition,
  contentTypes,
  prometheusText,
} from './core/prometheus-text.ts';
import type { Series } from './core/series.ts';
import type { CountedByAll } from './alert-watch.ts';
import type { Peers } from './peers.ts';
import type { TailRequest, Tails } from './tails.ts';

export interface ClusterAnswersOptions {
  readonly collector: string;
  readonly own: Answers;
  readonly peers: Pick<Peers, 'gather' | 'names'>;
  readonly tails: Tails;
  readonly alerts: () => AlertsReply;
  /** True where this collector has counted a message or is about to. */
  readonly isOwn: (sequence: number) => boolean;
}

/** What all collectors know together, whoever of them is asked. */
export class ClusterAnswers {
  readonly #options: ClusterAnswersOptions;

  constructor(options: ClusterAnswersOptions) {
    this.#options = options;
  }

  /** One collector's part of an answer, for the one that was asked. */
  part(operation: string, body: unknown): unknown {
    const { own, tails, isOwn, alerts } = this.#options;
    const given = body as never;
    switch (operation) {
      case 'counted':
        return (body as readonly number[]).filter(isOwn);
      case 'stats':
        return own.stats();
      case 'series':
        return own.seriesOf(given);
      case 'operations':
        return own.operationSeries();
      case 'alerting':
        return { series: own.seriesOf({}), errors: own.errorsKept() };
      case 'alerts':
        return alerts();
      case 'exposed':
        return {
          ...own.exposed(),
          series: [...own.exposed().series],
          exemplars: [...own.exposed().exemplars],
        };
      case 'events':
        return valueOf(own.events(given));
      case 'errors':
        return { errors: valueOf(own.errors(given)), groups: own.groups(given) };
      case 'logs':
        return valueOf(own.logs(given));
      case 'history':
        return valueOf(own.history(given));
      case 'tail':
        return tails.open(body as TailRequest);
      default:
        return undefined;
    }
  }

  async stats(): Promise<CollectorStats> {
    const { values, silent } = await this.#all('stats', {});
    return addedStats(
      values.map((one) => one.value),
      silent,
    );
  }

  async series(query: SeriesQuery): Promise<SeriesReply> {
    const { values, silent } = await this.#all('series', query);
    const found = values.flatMap(({ name, value }) => value.map((one) => ({ name, one })));
    return {
      series: found.slice(0, query.limit ?? seriesDefault).map(({ name, one }) => seriesView(one, name)),
      count: found.length,
      ...silentOf(silent),
    };
  }

  async operations(query: OperationsQuery): Promise<OperationsReply> {
    const { values, silent } = await this.#all('operations', {});
    const figures = operationFigures(
      values.flatMap((one) => one.value),
      query,
    );
    return { operations: figures.map((one) => ({ ...one })), ...silentOf(silent) };
  }

  async events(query: EventsQuery): Promise<Result<EventsReply>> {
    const own = this.#options.own.events(query);
    if (!own.ok) return own;
    const { values, silent } = await this.#all('events', query);
    return accept({ events: newest(values, query.limit), ...silentOf(silent) });
  }

  async errors(query: ErrorsQuery): Promise<Result<ErrorsReply>> {
    const own = this.#options.own.errors(query);
    if (!own.ok) return own;
    const { values, silent } = await this.#all('errors', query);
    const groups = new Map<string, ErrorGroup>();
    for (const { value } of values) {
      for (const group of value.groups) {
        const known = groups.get(group.id);
        groups.set(group.id, known === undefined ? group : mergedGroup(known, group));
      }
    }
    const latest = [...groups.values()].sort((one, other) => other.lastSeenMs - one.lastSeenMs);
    return accept({
      errors: newest(
        values.map(({ name, value }) => ({ name, value: value.errors })),
        query.limit,
      ),
      groups: latest.slice(0, query.limit ?? recentDefault).map(groupView),
      ...silentOf(silent),
    });
  }

  async logs(query: LogsQuery): Promise<Result<LogsReply>> {
    const own = this.#options.own.logs(query);
    if (!own.ok) return own;
    const { values, silent } = await this.#all('logs', query);
    return accept({ logs: newest(values, query.limit), ...silentOf(silent) });
  }

  async history(query: HistoryQuery): Promise<Result<HistoryReply>> {
    const own = this.#options.own.history(query);
    if (!own.ok) return own;
    const { values, silent } = await this.#all('history', query);
    const series = values.flatMap((one) => one.value.series);
    return accept({ stepMs: own.value.stepMs, series, ...silentOf(silent) });
  }

  /** @param inbox where the records go: that of the request */
  async tail(query: TailQuery, inbox: string): Promise<Result<TailReply>> {
    const leaseMs = query.lease === undefined ? leaseMsDefault : (durationMs(query.lease) ?? leaseMsDefault);
    if (leaseMs < leaseMsMin || leaseMs > leaseMsMax)
      return refuse('invalid_request', 'lease must be between 1s and 5m', { field: 'lease' });
    const { kinds, source, level, max = tailRecordsDefault } = query;
    const request: TailRequest = { inbox, kinds, source, level, max, leaseMs };
    const { values, silent } = await this.#all('tail', request);
    const open = values.filter((one) => one.value).map((one) => one.name);
    if (open.length === 0) return refuse('rate_limited', 'too many are watching already');
    return accept({ max, leaseMs, collectors: open, ...silentOf(silent) });
  }

  async alerts(): Promise<AlertsReply> {
    // The first by name judges; the others have no figures to show.
    const { values } = await this.#all('alerts', {});
    const byName = values.toSorted((one, other) => (one.name < other.name ? -1 : 1));
    return byName[0]?.value ?? { alerts: [] };
  }

  /** What this collector alone has counted: each is scraped on its own port. */
  ownPrometheus(exposition: Exposition): PrometheusReply {
    const text = prometheusText([this.#options.own.exposed()], exposition);
    return { contentType: contentTypes[exposition], text };
  }

  async prometheus(exposition: Exposition): Promise<PrometheusReply> {
    const { values } = await this.#all('exposed', {});
    const exposed = values.map(({ value }) => ({ ...value, exemplars: new Map(value.exemplars) }));
    return { contentType: contentTypes[exposition], text: prometheusText(exposed, exposition) };
  }

  /** Series and errors of each collector, for the alerts. */
  async alerting(): Promise<CountedByAll> {
    const { values, silent } = await this.#all('alerting', {});
    return { parts: values.map(({ name, value }) => ({ collector: name, ...value })), silent };
  }

  async #all<Operation extends keyof Parts>(operation: Operation, body: unknown) {
    const { collector, peers } = this.#options;
    const { answers, silent } = await peers.gather(operation, body);
    const parts = [{ name: collector, value: this.part(operation, body) }, ...answers];
    // Collectors of one cluster are of one version: what they say to each other is no input from outside.
    const values = parts as readonly { readonly name: string; readonly value: Parts[Operation] }[];
    return { values, silent };
  }
}

/** What collectors tell each other, by operation. */
interface Parts {
  readonly stats: CollectorStats;
  readonly series: readonly Series[];
  readonly operations: readonly Series[];
  readonly alerting: { readonly series: readonly Series[]; readonly errors: number };
  readonly alerts: AlertsReply;
  readonly exposed: Omit<Exposed, 'exemplars'> & {
    readonly exemplars: readonly (readonly [id: number, exemplar: Exemplar])[];
  };
  readonly events: EventsReply['events'];
  readonly errors: { readonly errors: ErrorsReply['errors']; readonly groups: readonly ErrorGroup[] };
  readonly logs: LogsReply['logs'];
  readonly history: HistoryReply;
  readonly tail: boolean;
}

const seriesDefault = 1_000;
const tailRecordsDefault = 1_000;
const leaseMsDefault = 30_000;
const leaseMsMin = 1_000;
const leaseMsMax = 300_000;

const silentOf = (silent: readonly string[]) => (silent.length === 0 ? {} : { silent: [...silent] });

// The one that was asked has checked the request; another one's fault in it is its version's, and adds nothing.
const valueOf = <T>(result: Result<T>): T | undefined => (result.ok ? result.value : undefined);

const newest = <T extends { readonly at: string }>(
  values: readonly { readonly name: string; readonly value: readonly T[] }[],
  limit = recentDefault,
): T[] => {
  const [first] = values;
  if (first !== undefined && values.length === 1) return [...first.value];
  return values
    .flatMap((one) => one.value)
    .sort((one, other) => (one.at < other.at ? 1 : -1))
    .slice(0, limit);
};

const groupView = ({ stack, traceId, firstSeenMs, lastSeenMs, sources, ...rest }: ErrorGroup) => ({
  ...rest,
  sources: [...sources],
  firstSeen: formatTime(firstSeenMs),
  lastSeen: formatTime(lastSeenMs),
  ...(stack === undefined ? {} : { stack }),
  ...(traceId === undefined ? {} : { traceId }),
});
