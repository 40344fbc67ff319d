import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { describeMachine } from './machine.ts';
import { measure } from './measure.ts';
import { queueSuite } from './queue/queue-suite.ts';
import { type Report, reportLines } from './results.ts';
import type { Suite } from './suite.ts';

// `npm run bench -- queue [--json FILE] [--rounds N] [--only WORKLOAD]`

const suites: Readonly<Record<string, () => Suite>> = { queue: queueSuite };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' }, rounds: { type: 'string', default: '5' }, only: { type: 'string' } },
});
process.exitCode = await run(positionals[0] ?? '', Number(values.rounds));

async function run(name: string, rounds: number): Promise<number> {
  const suite = suites[name]?.();
  if (suite === undefined || !Number.isInteger(rounds) || rounds < 1) {
    const names = Object.keys(suites).join('|');
    console.error(`npm run bench -- ${names} [--json FILE] [--rounds N] [--only WORKLOAD]`);
    return exitCodes.usage;
  }
  const wanted = suite.workloads.filter((one) => values.only === undefined || one.workload === values.only);
  if (wanted.length === 0) {
    console.error(`--only must be one of ${suite.workloads.map((one) => one.workload).join(', ')}`);
    return exitCodes.usage;
  }
  const machine = await describeMachine();
  const versions = await suite.versions();
  const { results, failures } = await measure(wanted, rounds, (line) => console.error(line));
  const report: Report = { machine, versions, date: new Date().toISOString(), rounds, results };
  console.log(`\n${reportLines(report).join('\n')}`);
  for (const { workload, problem } of failures) console.error(`\n${workload} was not measured: ${problem}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  return failures.length === 0 ? exitCodes.done : exitCodes.failed;
}
