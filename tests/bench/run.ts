import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { queueWorkloads } from './queue-workloads.ts';
import { type Workload, measure, machine } from './measure.ts';
import { printResults } from './results.ts';

// `npm run bench -- queue [--json FILE] [--rounds N] [--only WORKLOAD]`

const suites: Readonly<Record<string, () => Promise<Suite>>> = { queue: queueWorkloads };

/** The workloads of one suite, and what they need started. */
export interface Suite {
  readonly versions: Readonly<Record<string, string>>;
  readonly workloads: readonly Workload[];
  stop(): Promise<void>;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, rounds: { type: 'string', default: '5' }, only: { type: 'string' } },
});
const [name = ''] = positionals;
const open = suites[name];
const rounds = Number(values.rounds);
if (open === undefined || !Number.isInteger(rounds) || rounds < 1) {
  console.error(
    `npm run bench -- ${Object.keys(suites).join('|')} [--json FILE] [--rounds N] [--only WORKLOAD]`,
  );
  process.exit(2);
}
const suite = await open();
try {
  const wanted = suite.workloads.filter((one) => values.only === undefined || one.workload === values.only);
  if (wanted.length === 0) {
    console.error(`--only must be one of ${suite.workloads.map((one) => one.workload).join(', ')}`);
    process.exitCode = 2;
  } else {
    const report = {
      machine: machine(),
      versions: suite.versions,
      date: new Date().toISOString(),
      rounds,
      results: await measure(wanted, rounds),
    };
    printResults(report);
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  }
} finally {
  await suite.stop();
}
process.exit();
