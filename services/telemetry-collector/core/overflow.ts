import type { Series, SeriesTable } from './series.ts';

export interface Overflow {
  readonly source: string;
  readonly series: number;
  readonly values: number;
  readonly names: readonly OverflowName[];
}

interface OverflowName {
  readonly name: string;
  readonly values: number;
  readonly tag?: string;
  readonly tagValues?: number;
}

const namesMax = 5;

/** Who has used up its series and by which tag of which metric: the worst first. O(series of those sources) */
export function overflowOf(
  uses: ReturnType<SeriesTable['uses']>,
  series: Iterable<Series>,
): readonly Overflow[] {
  const full = [...uses].filter(([, use]) => use.overflowed.size > 0);
  if (full.length === 0) return [];
  const bySource = Map.groupBy(series, (one) => one.source);
  return full
    .map(([source, use]) => {
      const names = [...use.overflowed]
        .sort(([, one], [, other]) => other - one)
        .slice(0, namesMax)
        .map(([name, values]) => ({ name, values, ...worstTag(name, bySource.get(source) ?? []) }));
      const values = [...use.overflowed.values()].reduce((sum, one) => sum + one, 0);
      return { source, series: use.series, values, names };
    })
    .sort((one, other) => other.values - one.values);
}

/** The tag with the most different values among the series of one name. */
function worstTag(name: string, series: readonly Series[]): { tag?: string; tagValues?: number } {
  const values = new Map<string, Set<string>>();
  for (const one of series) {
    if (one.name !== name) continue;
    for (const [tag, value] of one.labels) {
      const known = values.get(tag) ?? new Set();
      known.add(value);
      values.set(tag, known);
    }
  }
  const [worst] = [...values].sort(([, one], [, other]) => other.size - one.size);
  return worst === undefined ? {} : { tag: worst[0], tagValues: worst[1].size };
}
