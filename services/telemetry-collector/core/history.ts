import { isDistribution } from './distribution.ts';
import type { Series } from './series.ts';

/** One resolution of the history: what it keeps of a series is its state at the end of each step. */
export interface Tier {
  readonly stepMs: number;
  readonly ageMsMax: number;
}

/** Ten seconds for an hour, a minute for a day, a quarter of an hour for thirty days. */
export const defaultTiers: readonly Tier[] = [
  { stepMs: 10_000, ageMsMax: 3_600_000 },
  { stepMs: 60_000, ageMsMax: 86_400_000 },
  { stepMs: 900_000, ageMsMax: 30 * 86_400_000 },
];

/** Series that changed during one step, as they were at its end. */
export interface HistoryRow {
  readonly tier: number;
  /** When the step began, epoch milliseconds. */
  readonly atMs: number;
  /** Series' id, its total, value or count, and for a histogram its sum: three numbers each. */
  readonly numbers: Float64Array;
}

export const numbersPerPoint = 3;

/**
 * Gathers what series are at the end of each step. Counters are kept as totals, so that a step that was missed costs
 * resolution and not amounts.
 */
export class HistoryRecorder {
  readonly #tiers: readonly Tier[];
  readonly #open: { atMs: number; readonly points: Map<number, readonly [number, number]> }[];

  constructor(tiers: readonly Tier[]) {
    this.#tiers = tiers;
    this.#open = tiers.map(() => ({ atMs: 0, points: new Map() }));
  }

  /** @returns the steps that are over with this */
  note(changed: readonly Series[], nowMs: number): readonly HistoryRow[] {
    const done: HistoryRow[] = [];
    for (const [tier, { stepMs }] of this.#tiers.entries()) {
      const open = this.#open[tier];
      if (open === undefined) continue;
      const atMs = nowMs - (nowMs % stepMs);
      if (atMs !== open.atMs) {
        if (open.points.size > 0) done.push({ tier, atMs: open.atMs, numbers: numbersOf(open.points) });
        open.points.clear();
        open.atMs = atMs;
      }
      for (const series of changed) open.points.set(series.id, pointOf(series));
    }
    return done;
  }

  /** What is not over yet: at the end of a process, and for who asks now. */
  unfinished(): readonly HistoryRow[] {
    return this.#open.flatMap(({ atMs, points }, tier) =>
      points.size === 0 ? [] : [{ tier, atMs, numbers: numbersOf(points) }],
    );
  }
}

const numbersOf = (points: ReadonlyMap<number, readonly [number, number]>): Float64Array =>
  Float64Array.from([...points].flatMap(([id, [value, sum]]) => [id, value, sum]));

function pointOf(series: Series): readonly [number, number] {
  if (isDistribution(series)) return [series.histogram.count, series.histogram.sum];
  return [series.type === 'counter' ? series.total : series.value, 0];
}

/** The finest tier that reaches back to `fromMs`, and whose steps are no finer than asked for. */
export function tierFor(tiers: readonly Tier[], fromMs: number, nowMs: number, stepMs = 0): number {
  const fitting = tiers.findIndex((tier) => tier.ageMsMax >= nowMs - fromMs && tier.stepMs >= stepMs);
  return fitting < 0 ? tiers.length - 1 : fitting;
}
