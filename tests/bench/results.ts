import type { Result, machine } from './measure.ts';

export interface Report {
  readonly machine: ReturnType<typeof machine>;
  readonly versions: Readonly<Record<string, string>>;
  readonly date: string;
  readonly rounds: number;
  readonly results: readonly Result[];
}

/** Prints a report for people. */
export function printResults(report: Report): void {
  const { cpu, cores, memoryGiB, os } = report.machine;
  console.log(`\n${cpu}, ${cores} cores, ${memoryGiB} GiB, ${os}`);
  console.log(
    Object.entries(report.versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(' · '),
  );
  console.log(`${report.rounds} rounds, medians\n`);
  for (const one of report.results) {
    const number = (value: number | undefined): string =>
      value === undefined ? '–' : value.toLocaleString('en');
    console.log(
      `${one.workload}: ${number(one.ours)} ${one.unit}  p50 ${number(one.p50)} ms  p99 ${number(one.p99)} ms  (${one.durability})`,
    );
    if (one.peer !== undefined) {
      console.log(
        `  ${one.peerName}: ${number(one.peer)} ${one.unit}  p50 ${number(one.peerP50)} ms  p99 ${number(one.peerP99)} ms  → ${number(one.ratio)} ×`,
      );
    }
    if (one.notes !== undefined) console.log(`  ${one.notes}`);
  }
}
