import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { type Part, type Round, rounds, type TestKind } from './test-parts.ts';
import { addUp, countsLine, type NotRun, notRunText, type VitestReport } from './test-report.ts';

// `npm test [-- FILTER … [-t PATTERN]]`: every kind of tests whose parts this machine has, round after round; then,
// loudly, what was not run. With TRIVET_TEST_ALL=1 (CI) that is a failure.

const root = join(import.meta.dirname, '..', '..');
const { values, positionals: filters } = parseArgs({
  args: process.argv.slice(2),
  options: { testNamePattern: { type: 'string', short: 't' } },
  allowPositionals: true,
});
const folder = await mkdtemp(join(tmpdir(), 'trivet-test-reports-'));
const notRun: NotRun[] = [];
const reports: VitestReport[] = [];
let broken = false;
// Parts that several kinds need are looked for once.
const judged = new Map<Part, Promise<string | undefined>>();

try {
  for (const [index, round] of rounds.entries()) await runRound(round, join(folder, `${index}.json`));
} finally {
  await rm(folder, { recursive: true, force: true });
}

const counts = addUp(reports);
const all = process.env['TRIVET_TEST_ALL'] === '1';
if (notRun.length > 0) console.log(`\n${notRunText(notRun)}`);
if (notRun.length > 0 && all) console.log('With TRIVET_TEST_ALL=1 a missing part is a failure.');
if (counts.passed + counts.failed === 0) console.log('No test ran.');
if (broken && counts.failed === 0) console.log('vitest failed outside of the tests: see above.');
const skipped = all && values.testNamePattern === undefined ? counts.skipped : 0;
if (skipped > 0) console.log('With TRIVET_TEST_ALL=1 a test that skips itself is a failure.');
console.log(countsLine(counts));
if (broken || skipped > 0 || counts.failed > 0 || counts.passed === 0 || (all && notRun.length > 0))
  process.exitCode = 1;

async function runRound(round: Round, reportPath: string): Promise<void> {
  const runnable: TestKind[] = [];
  for (const kind of round.kinds) if (await isRunnable(kind)) runnable.push(kind);
  if (runnable.length === 0) return;
  if ((await runVitest(runnable, round.workers, reportPath)) !== 0) broken = true;
  const report = await readFile(reportPath, 'utf8').catch(() => undefined);
  // It ended before it could report, so nobody knows what has passed.
  if (report === undefined) broken = true;
  else reports.push(JSON.parse(report) as VitestReport);
}

async function isRunnable(kind: TestKind): Promise<boolean> {
  const files = filesOf(kind);
  if (files.length === 0) return false;
  const lacks = [];
  for (const part of kind.parts) {
    const reason = await missing(part);
    if (reason !== undefined) lacks.push({ part: part.name, reason, how: part.how });
  }
  if (lacks.length > 0) notRun.push({ kind: kind.name, files: files.length, lacks });
  return lacks.length === 0;
}

function filesOf({ name }: TestKind): readonly string[] {
  const suffix = name === 'fast' ? '' : `.${name}`;
  const kinds = rounds.flatMap(({ kinds: some }) => some).filter((kind) => kind.name !== 'fast');
  return globSync(`tests/**/*${suffix}.test.ts`, { cwd: root })
    .filter((file) => name !== 'fast' || !kinds.some((other) => file.endsWith(`.${other.name}.test.ts`)))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)));
}

function missing(part: Part): Promise<string | undefined> {
  const known = judged.get(part) ?? part.missing((line) => console.log(line));
  judged.set(part, known);
  return known;
}

async function runVitest(
  kinds: readonly TestKind[],
  workers: number,
  reportPath: string,
): Promise<number | null> {
  const pattern = values.testNamePattern;
  const args = [
    'run',
    ...filters,
    ...(pattern === undefined ? [] : ['--testNamePattern', pattern]),
    ...kinds.flatMap(({ name }) => ['--project', name]),
    `--maxWorkers=${workers}`,
    '--passWithNoTests',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${reportPath}`,
  ];
  const vitest = spawn(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), ...args], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [exitCode] = (await once(vitest, 'close')) as [number | null];
  return exitCode;
}
