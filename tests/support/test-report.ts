/** What is read of the report that vitest writes with `--reporter=json`. */
export interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Skipped and todo. */
  readonly skipped: number;
}

/** Adds up the reports of all rounds. A file that failed outside of its tests (an import, a hook) counts as one. */
export function addUp(reports: readonly VitestReport[]): Counts {
  const sum = (of: (report: VitestReport) => number) => reports.reduce((total, one) => total + of(one), 0);
  return {
    passed: sum((report) => report.numPassedTests),
    failed: sum((report) => report.numFailedTests + brokenFiles(report)),
    skipped: sum((report) => report.numPendingTests + report.numTodoTests),
  };
}

function brokenFiles({ testResults }: VitestReport): number {
  return testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && assertionResults.every((one) => one.status !== 'failed'),
  ).length;
}

/** The last line of `npm test`: scripts read it. */
export function countsLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** A kind of tests that has files here, and what it lacks. */
export interface NotRun {
  readonly kind: string;
  readonly files: number;
  readonly lacks: readonly { readonly part: string; readonly reason: string; readonly how: string }[];
}

/** What was not run and why, so that nobody takes the rest for the whole. */
export function notRunText(list: readonly NotRun[]): string {
  const bar = '!'.repeat(78);
  const lines = list.flatMap(({ kind, files, lacks }) => [
    `  ${kind}: ${files === 1 ? '1 file' : `${files} files`}`,
    ...lacks.flatMap(({ part, reason, how }) => [
      `      ${part} is missing: ${reason.replaceAll('\n', '\n        ')}`,
      `      to run them: ${how}`,
    ]),
  ]);
  return [bar, 'NOT RUN on this machine, so not tested:', ...lines, bar].join('\n');
}
