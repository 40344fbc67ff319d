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
  readonly #open: { atMs: number; readonly points: Map<number, Series> }[];
  /** What has changed since a step of any tier was over: most commits note it here alone, and not in every tier. */
  readonly #latest = new Map<number, Series>();

  constructor(tiers: readonly Tier[]) {
    this.#tiers = tiers;
    this.#open = tiers.map(() => ({ atMs: 0, points: new Map() }));
  }

  /**
   * @param changed snapshots: they are kept until their steps are over
   * @returns the steps that are over with this
   */
  note(changed: readonly Series[], nowMs: number): readonly HistoryRow[] {
    const done: HistoryRow[] = [];
    for (const [tier, { stepMs }] of this.#tiers.entries()) {
      const open = this.#open[tier];
      const atMs = nowMs - (nowMs % stepMs);
      if (open === undefined || atMs === open.atMs) continue;
      this.#spread();
      if (open.points.size > 0) done.push({ tier, atMs: open.atMs, numbers: numbersOf(open.points) });
      open.points.clear();
      open.atMs = atMs;
    }
    for (const series of changed) this.#latest.set(series.id, series);
    return done;
  }

  /** What is not over yet: at the end of a process, and for who asks now. */
  unfinished(): readonly HistoryRow[] {
    this.#spread();
    return this.#open.flatMap(({ atMs, points }, tier) =>
      points.size === 0 ? [] : [{ tier, atMs, numbers: numbersOf(points) }],
    );
  }

  /** Into every tier. */
  #spread(): void {
    for (const [id, series] of this.#latest) for (const { points } of this.#open) points.set(id, series);
    this.#latest.clear();
  }
}

function numbersOf(points: ReadonlyMap<number, Series>): Float64Array {
  const numbers = new Float64Array(points.size * numbersPerPoint);
  let at = 0;
  for (const [id, series] of points) {
    numbers[at] = id;
    if (isDistribution(series)) {
      numbers[at + 1] = series.histogram.count;
      numbers[at + 2] = series.histogram.sum;
    } else numbers[at + 1] = series.type === 'counter' ? series.total : series.value;
    at += numbersPerPoint;
  }
  return numbers;
}

/** The finest tier that reaches back to `fromMs`, and whose steps are no finer than asked for. */
export function tierFor(tiers: readonly Tier[], fromMs: number, nowMs: number, stepMs = 0): number {
  const fitting = tiers.findIndex((tier) => tier.ageMsMax >= nowMs - fromMs && tier.stepMs >= stepMs);
  return fitting < 0 ? tiers.length - 1 : fitting;
}
