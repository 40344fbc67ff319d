import type { AlertNotice, AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import type { AlertsReply } from '#shared/protocol/telemetry-replies.ts';
import { formatTime } from '#shared/protocol/times.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import { type AlertState, type Reading, figureOf, judge, readingOf, windowMsOf } from './core/alerts.ts';
import type { Series } from './core/series.ts';

/** An alert's state where all collectors see it, with what CAS needs. */
export interface StoredAlert extends AlertState {
  /** A notice that may not have gone out yet. */
  readonly owed?: AlertNotice;
}

export interface AlertStore {
  read(name: string): Promise<{ readonly alert: StoredAlert | undefined; readonly revision: number }>;
  /** @returns false when somebody else has written since `revision` */
  write(name: string, alert: StoredAlert, revision: number): Promise<boolean>;
}

export interface AlertWatchOptions {
  readonly store: AlertStore;
  /** One of all collectors judges. */
  readonly isJudge: () => Promise<boolean>;
  /** What all collectors have counted. */
  readonly read: () => Promise<{ readonly series: readonly Series[]; readonly errors: number }>;
  /** @returns false when its webhook did not take it: then it is called again, and nobody else is told twice */
  readonly notify: (rule: AlertRule, notice: AlertNotice, isRepeated: boolean) => Promise<boolean>;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Watched {
  readonly rule: AlertRule;
  readonly readings: Reading[];
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
        const { series, errors } = await read();
        for (const watched of this.#watched) await this.#judgeOne(watched, series, errors, clock.nowMs());
      }
    } catch (error) {
      log.warn({ err: error }, 'alerts could not be judged; trying again');
    }
    if (!this.#isStopped) this.start();
  }

  async #judgeOne(watched: Watched, series: readonly Series[], errors: number, nowMs: number): Promise<void> {
    const { rule, readings } = watched;
    const { store } = this.#options;
    const now = readingOf(rule, series, errors, nowMs);
    watched.figure = figureOf(rule, now, readings[0]);
    readings.push(now);
    // The window's beginning is the youngest reading that is as old as it is long.
    while ((readings[1]?.atMs ?? Number.POSITIVE_INFINITY) <= nowMs - windowMsOf(rule)) readings.shift();
    const { alert, revision } = await store.read(rule.name);
    if (alert?.owed !== undefined) {
      await this.#tell(rule, { ...alert, owed: alert.owed }, { revision, isRepeated: true });
      watched.state = alert;
      return;
    }
    const before: AlertState = alert ?? { state: 'ok', sinceMs: 0 };
    const { next, notice } = judge(rule, before, watched.figure, nowMs);
    watched.state = next;
    if (next === before) return;
    const { stat, above, below } = rule;
    const owed: AlertNotice | undefined =
      notice === undefined
        ? undefined
        : {
            alert: rule.name,
            state: notice,
            at: formatTime(nowMs),
            stat,
            ...(watched.figure === undefined ? {} : { value: watched.figure }),
            ...(above === undefined ? {} : { above }),
            ...(below === undefined ? {} : { below }),
          };
    const state = { state: next.state, sinceMs: next.sinceMs };
    const isWritten = await store.write(rule.name, owed === undefined ? state : { ...state, owed }, revision);
    if (!isWritten || owed === undefined) return;
    const written = await store.read(rule.name);
    await this.#tell(rule, { ...state, owed }, { revision: written.revision, isRepeated: false });
  }

  async #tell(
    rule: AlertRule,
    alert: AlertState & { readonly owed: AlertNotice },
    { revision, isRepeated }: { readonly revision: number; readonly isRepeated: boolean },
  ): Promise<void> {
    const { log, notify, store } = this.#options;
    const { owed, ...state } = alert;
    if (!isRepeated) log.info({ alert: rule.name, value: owed.value }, `${rule.name} is ${owed.state}`);
    if (await notify(rule, owed, isRepeated)) await store.write(rule.name, state, revision);
  }
}
