import type { AlertNotice, AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import type { AlertsReply } from '#shared/protocol/telemetry-replies.ts';
import { formatTime } from '#shared/protocol/times.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import {
  type AlertState,
  type Gauge,
  type Readings,
  alignReadings,
  figureOf,
  gaugesOf,
  judge,
  readingOf,
  readingOfAll,
  sumOfGauges,
  windowMsOf,
} from './core/alerts.ts';
import type { Series } from './core/series.ts';

/** An alert's state where all collectors see it, with what CAS needs. */
export interface StoredAlert extends AlertState {
  /** Notices that its webhook may not have yet, the oldest first. */
  readonly owed?: readonly AlertNotice[];
}

export interface AlertStore {
  read(name: string): Promise<{ readonly alert: StoredAlert | undefined; readonly revision: number }>;
  /** @returns false when somebody else has written since `revision` */
  write(name: string, alert: StoredAlert, revision: number): Promise<boolean>;
}

/** What each collector that answered has counted, and which of them did not answer. */
export interface CountedByAll {
  readonly parts: readonly {
    readonly collector: string;
    readonly series: readonly Series[];
    readonly errors: number;
  }[];
  readonly silent: readonly string[];
}

export interface AlertWatchOptions {
  readonly store: AlertStore;
  /** One of all collectors judges. */
  readonly isJudge: () => Promise<boolean>;
  /** What all collectors have counted. */
  readonly read: () => Promise<CountedByAll>;
  /** Tells everybody on NATS. */
  readonly announce: (rule: AlertRule, notice: AlertNotice) => void;
  /** @returns false when the rule's webhook did not take it: then it is called again with the next round */
  readonly call: (rule: AlertRule, notice: AlertNotice) => Promise<boolean>;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

// An alert that flaps while its webhook is away: the latest are what whoever reads them then can use.
const owedMax = 20;

interface Watched {
  readonly rule: AlertRule;
  readonly readings: Readings[];
  /** By collector, as each of them said last: of one that is silent they stand. */
  gauges: ReadonlyMap<string, readonly Gauge[]>;
  state: AlertState;
  figure: number | undefined;
}

/** Judges the alerts, again and again. What fires is written down before anybody is told, so that it fires once. */
export class AlertWatch {
  readonly #options: AlertWatchOptions;
  #watched: readonly Watched[] = [];
  #cancel: () => void = () => undefined;
  #isStopped = false;
  #judging: Promise<void> = Promise.resolve();

  constructor(options: AlertWatchOptions) {
    this.#options = options;
  }

  /** Goes on with these. */
  use(rules: readonly AlertRule[]): void {
    const known = new Map(this.#watched.map((one) => [JSON.stringify(one.rule), one]));
    this.#watched = rules.map(
      (rule) =>
        known.get(JSON.stringify(rule)) ?? {
          rule,
          readings: [],
          gauges: new Map(),
          state: { state: 'ok', sinceMs: 0 },
          figure: undefined,
        },
    );
  }

  start(): void {
    this.#cancel = this.#options.clock.after(this.#options.everyMs, () => {
      this.#judging = this.#round();
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel();
    await this.#judging;
  }

  /** What is known of every alert, by whoever judges them. */
  get states(): AlertsReply {
    return {
      alerts: this.#watched.map(({ rule, state, figure }) => ({
        name: rule.name,
        state: state.state,
        ...(state.sinceMs === 0 ? {} : { since: formatTime(state.sinceMs) }),
        ...(figure === undefined ? {} : { value: figure }),
      })),
    };
  }

  async #round(): Promise<void> {
    const { isJudge, read, clock, log } = this.#options;
    try {
      if (this.#watched.length > 0 && (await isJudge())) {
        const counted = await read();
        for (const watched of this.#watched) await this.#judgeOne(watched, counted, clock.nowMs());
        // After all are judged, and side by side: who does not answer holds up no alert.
        await Promise.all(this.#watched.map(({ rule }) => this.#call(rule)));
      }
    } catch (error) {
      log.warn({ err: error }, 'alerts could not be judged; trying again');
    }
    if (!this.#isStopped) this.start();
  }

  async #judgeOne(watched: Watched, { parts, silent }: CountedByAll, nowMs: number): Promise<void> {
    const { rule, readings } = watched;
    const { store, log, announce } = this.#options;
    const stood = silent.map((name) => [name, watched.gauges.get(name) ?? []] as const);
    watched.gauges = new Map([
      ...stood,
      ...parts.map(({ collector, series }) => [collector, gaugesOf(rule, series)] as const),
    ]);
    const now: Readings = {
      atMs: nowMs,
      parts: new Map(
        parts.map(({ collector, series, errors }) => [collector, readingOf(rule, series, errors, nowMs)]),
      ),
      gauges: sumOfGauges(watched.gauges.values()),
    };
    alignReadings(readings, now, silent);
    const [first] = readings;
    const before = first && readingOfAll(first, now);
    watched.figure = figureOf(rule, readingOfAll(now, now), before);
    readings.push(now);
    // The window's beginning is the youngest reading that is as old as it is long.
    while ((readings[1]?.atMs ?? Number.POSITIVE_INFINITY) <= nowMs - windowMsOf(rule)) readings.shift();
    const { alert, revision } = await store.read(rule.name);
    const { owed = [], ...stored } = alert ?? ({ state: 'ok', sinceMs: 0 } as const);
    const { next, notice } = judge(rule, stored, watched.figure, nowMs);
    watched.state = next;
    if (next === stored) return;
    const state = { state: next.state, sinceMs: next.sinceMs };
    const due = notice === undefined ? undefined : this.#notice(watched, notice, nowMs);
    const left = due === undefined || rule.webhook === undefined ? owed : [...owed, due].slice(-owedMax);
    const isWritten = await store.write(
      rule.name,
      left.length === 0 ? state : { ...state, owed: left },
      revision,
    );
    if (!isWritten || due === undefined) return;
    log.info({ alert: rule.name, value: due.value }, `${rule.name} is ${due.state}`);
    announce(rule, due);
  }

  #notice({ rule, figure }: Watched, state: AlertNotice['state'], nowMs: number): AlertNotice {
    const { name, stat, above, below } = rule;
    return {
      alert: name,
      state,
      at: formatTime(nowMs),
      stat,
      ...(figure === undefined ? {} : { value: figure }),
      ...(above === undefined ? {} : { above }),
      ...(below === undefined ? {} : { below }),
    };
  }

  /** Brings the webhook the notices it is owed, in their order, as far as it takes them. */
  async #call(rule: AlertRule): Promise<void> {
    if (rule.webhook === undefined) return;
    const { store, call } = this.#options;
    const { alert, revision } = await store.read(rule.name);
    const { owed = [], ...state } = alert ?? ({ state: 'ok', sinceMs: 0 } as const);
    let taken = 0;
    for (const notice of owed) {
      if (!(await call(rule, notice))) break;
      taken += 1;
    }
    const left = owed.slice(taken);
    if (taken > 0)
      await store.write(rule.name, left.length === 0 ? state : { ...state, owed: left }, revision);
  }
}
