import { durationMs } from '#shared/protocol/durations.ts';
import { type Result, accept, refuseField } from '#shared/protocol/errors.ts';
import type { AlertRule } from '#shared/protocol/telemetry-alerts.ts';
import { explicitOf, isDistribution } from './distribution.ts';
import { type Histogram, addedSince, merged, percentile } from './histogram.ts';
import { operationCount, operationDuration } from './interpret.ts';
import { type Series, seriesKey } from './series.ts';

/** What a rule looks at, as totals at one moment. */
export interface Reading {
  readonly atMs: number;
  /** Whether there is anything that the rule could mean: a metric that nobody has sent has no value, not 0. */
  readonly isThere: boolean;
  /** Totals of counters, or how many values, errors or operations there were; of all collectors with gauges. */
  readonly total: number;
  readonly successes: number;
  readonly histogram: Histogram | undefined;
}

/** What a rule looks at in each collector, by its name. */
export interface Readings {
  readonly atMs: number;
  readonly parts: Map<string, Reading>;
  /** The sum of gauges, of all collectors together. */
  readonly gauges: number;
}

/** A gauge as one collector was told it. */
export interface Gauge {
  /** The same in every collector. */
  readonly key: string;
  readonly value: number;
  readonly atMs: number;
}

/** Where an alert is. */
export interface AlertState {
  readonly state: 'ok' | 'pending' | 'firing';
  readonly sinceMs: number;
}

export interface Judgement {
  readonly next: AlertState;
  readonly notice?: 'firing' | 'resolved';
}

export const windowMsDefault = 60_000;
const windowMsMin = 1_000;
const windowMsMax = 3_600_000;

/** Refuses what the schema cannot: rules that contradict themselves, and webhooks that the operator did not allow. */
export function checkedRules(
  rules: readonly AlertRule[],
  webhookOrigins: readonly string[],
): Result<readonly AlertRule[]> {
  const names = new Set<string>();
  for (const [index, rule] of rules.entries()) {
    const refused = (field: string, problem: string) => refuseField(`alerts[${index}].${field}`, problem);
    if (names.has(rule.name)) return refused('name', `is the name of two alerts: ${rule.name}`);
    names.add(rule.name);
    const subjects = [rule.metric, rule.operation, rule.errors].filter((one) => one !== undefined);
    if (subjects.length !== 1) return refused('metric', 'or operation or errors must be given, and only one');
    if ((rule.above === undefined) === (rule.below === undefined))
      return refused('above', 'or below must be given, and only one');
    if (rule.stat === 'success-rate' && rule.operation === undefined)
      return refused('stat', 'success-rate is known of operations alone');
    if (rule.errors !== undefined && rule.stat !== 'rate' && rule.stat !== 'value')
      return refused('stat', 'must be rate or value for errors');
    const windowMs = windowMsOf(rule);
    if (windowMs < windowMsMin || windowMs > windowMsMax)
      return refused('window', 'must be between a second and an hour');
    const webhook = rule.webhook === undefined ? undefined : originOf(rule.webhook);
    if (rule.webhook !== undefined && (webhook === undefined || !webhookOrigins.includes(webhook)))
      return refused('webhook', 'must begin with an origin of TRIVET_TELEMETRY_WEBHOOKS');
  }
  return accept(rules);
}

/** Scheme, host and port; undefined where there is no URL, or one with a name and a password in it. */
export function originOf(url: string): string | undefined {
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.protocol !== 'https:' && parsed.protocol !== 'http:')) return undefined;
  return parsed.username === '' && parsed.password === '' ? parsed.origin : undefined;
}

export const windowMsOf = (rule: AlertRule): number =>
  rule.window === undefined ? windowMsDefault : (durationMs(rule.window) ?? windowMsDefault);

/** What a rule looks at now. @param errors error records that were ever kept, of all sources */
export function readingOf(rule: AlertRule, series: Iterable<Series>, errors: number, atMs: number): Reading {
  if (rule.errors !== undefined)
    return { atMs, isThere: true, total: errors, successes: 0, histogram: undefined };
  let isThere = false;
  let total = 0;
  let successes = 0;
  let histogram: Histogram | undefined;
  for (const one of series) {
    if (!concerns(rule, one)) continue;
    isThere = true;
    if (isDistribution(one)) {
      const own = explicitOf(one);
      histogram = histogram === undefined ? own : merged(histogram, own);
      if (rule.operation === undefined) total += own.count;
    } else if (one.type === 'counter') {
      total += one.total;
      if (one.labels.some(([name, text]) => name === 'success' && text === 'true')) successes += one.total;
    }
  }
  return { atMs, isThere, total, successes, histogram };
}

/** The gauges that a rule looks at, as one collector has them. */
export function gaugesOf(rule: AlertRule, series: Iterable<Series>): readonly Gauge[] {
  const found: Gauge[] = [];
  for (const one of series)
    if (one.type === 'gauge' && rule.errors === undefined && concerns(rule, one))
      found.push({ key: seriesKey(one), value: one.value, atMs: one.atMs });
  return found;
}

/**
 * The sum of gauges. Collectors share the messages of one producer, so each of them has its gauge as it was told last:
 * it is one gauge, and the youngest value is its value.
 */
export function sumOfGauges(ofCollectors: Iterable<readonly Gauge[]>): number {
  const youngest = new Map<string, Gauge>();
  for (const gauges of ofCollectors) {
    for (const one of gauges)
      if (one.atMs >= (youngest.get(one.key)?.atMs ?? Number.NEGATIVE_INFINITY)) youngest.set(one.key, one);
  }
  return [...youngest.values()].reduce((sum, { value }) => sum + value, 0);
}

/**
 * Makes a reading comparable to those before it: totals are of different collectors where one did not answer, and what
 * came or went with it is nothing that happened in the window.
 * @param silent collectors that are there and did not answer: they stand where they stood
 */
export function alignReadings(earlier: readonly Readings[], now: Readings, silent: readonly string[]): void {
  const last = earlier.at(-1);
  for (const name of silent) {
    const stood = last?.parts.get(name);
    if (stood !== undefined && !now.parts.has(name)) now.parts.set(name, stood);
  }
  for (const [name, part] of now.parts)
    for (const { parts } of earlier) if (!parts.has(name)) parts.set(name, part);
}

/** One reading of the collectors of `now`; nothing where they have said nothing. */
export function readingOfAll({ atMs, parts, gauges }: Readings, now: Readings): Reading {
  let sum: Reading = { atMs, isThere: false, total: gauges, successes: 0, histogram: undefined };
  for (const name of now.parts.keys()) {
    const part = parts.get(name);
    if (part === undefined) continue;
    const { isThere, total, successes, histogram = part.histogram } = sum;
    sum = {
      atMs,
      isThere: isThere || part.isThere,
      total: total + part.total,
      successes: successes + part.successes,
      histogram:
        sum.histogram === undefined || part.histogram === undefined
          ? histogram
          : merged(sum.histogram, part.histogram),
    };
  }
  return sum;
}

function concerns(rule: AlertRule, series: Series): boolean {
  if (rule.source !== undefined && rule.source !== series.source) return false;
  const has = (name: string, value: string) =>
    series.labels.some(([known, text]) => known === name && text === value);
  if (rule.operation !== undefined) {
    if (series.name !== operationCount && series.name !== operationDuration) return false;
    if (!has('operation', rule.operation)) return false;
  } else if (series.name !== rule.metric) return false;
  return Object.entries(rule.tags ?? {}).every(([name, value]) => has(name, String(value)));
}

/**
 * The figure that a rule is judged by.
 * @param before the reading at the beginning of the window
 * @returns undefined where nothing came that it could be judged by
 */
export function figureOf(rule: AlertRule, now: Reading, before: Reading | undefined): number | undefined {
  if (!now.isThere) return undefined;
  if (rule.stat === 'value') return now.total;
  if (before === undefined || now.atMs <= before.atMs) return undefined;
  const total = now.total - before.total;
  if (rule.stat === 'rate') return Math.max(0, total) / ((now.atMs - before.atMs) / 1_000);
  if (rule.stat === 'success-rate')
    return total <= 0 ? undefined : (now.successes - before.successes) / total;
  const share = { p50: 0.5, p95: 0.95, p99: 0.99 }[rule.stat];
  if (now.histogram === undefined) return undefined;
  const { histogram } = now;
  return percentile(
    before.histogram === undefined ? histogram : addedSince(histogram, before.histogram),
    share,
  );
}

/** One step: fires once when the threshold was passed for long enough, resolves once when it is not any more. */
export function judge(
  rule: AlertRule,
  state: AlertState,
  figure: number | undefined,
  nowMs: number,
): Judgement {
  // Nothing to judge by is no news: neither a reason to fire nor one to resolve.
  if (figure === undefined) return { next: state };
  const isBreached = rule.above === undefined ? figure < (rule.below ?? 0) : figure > rule.above;
  const forMs = rule.for === undefined ? 0 : (durationMs(rule.for) ?? 0);
  if (!isBreached) {
    if (state.state === 'ok') return { next: state };
    const next = { state: 'ok', sinceMs: nowMs } as const;
    return state.state === 'firing' ? { next, notice: 'resolved' } : { next };
  }
  if (state.state === 'firing') return { next: state };
  const sinceMs = state.state === 'pending' ? state.sinceMs : nowMs;
  if (nowMs - sinceMs < forMs) return { next: { state: 'pending', sinceMs } };
  return { next: { state: 'firing', sinceMs: nowMs }, notice: 'firing' };
}
