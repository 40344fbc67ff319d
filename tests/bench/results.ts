import type { Machine } from './machine.ts';
import type { Result } from './measure.ts';

/** What `--json` writes; docs and scripts read it. */
export interface Report {
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly date: string;
  readonly rounds: number;
  readonly results: readonly Result[];
}

/** A report for people, line by line. */
export function reportLines(report: Report): readonly string[] {
  const { cpu, cores, memoryGiB, os, fsyncMs, governor } = report.machine;
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${os}${governor === undefined ? '' : `, governor ${governor}`}; ` +
      `fsync p50 ${fsyncMs.p50} ms, p99 ${fsyncMs.p99} ms`,
    Object.entries(report.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(' · '),
    `${report.rounds} rounds, medians`,
    ...report.results.flatMap(resultLines),
  ];
}

function resultLines(one: Result): readonly string[] {
  const side = (value: number | undefined, p50: number | undefined, p99: number | undefined): string =>
    [
      `${(value ?? 0).toLocaleString('en')} ${one.unit}`,
      ...(p50 === undefined ? [] : [`p50 ${p50} ms`]),
      ...(p99 === undefined ? [] : [`p99 ${p99} ms`]),
    ].join('  ');
  return [
    '',
    `${one.workload}: ${side(one.ours, one.p50, one.p99)}  (${one.durability})` +
      (one.rssMiB === undefined ? '' : `  RssAnon ${one.rssMiB} MiB`),
    ...(one.peer === undefined
      ? []
      : [`  ${one.peerName}: ${side(one.peer, one.peerP50, one.peerP99)}  → ${one.ratio} ×`]),
    `  ${one.notes}`,
  ];
}
