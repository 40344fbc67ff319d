import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { cacheSuite } from './cache/cache-suite.ts';
import { hitRatioSuite } from './hit-ratio/hit-ratio-suite.ts';
import { gatewaySuite } from './gateway/gateway-suite.ts';
import { describeMachine } from './machine.ts';
import { measure } from './measure.ts';
import { queueSuite } from './queue/queue-suite.ts';
import { type Report, reportLines } from './results.ts';
import { telemetrySuite } from './telemetry/telemetry-suite.ts';
import type { Suite } from './suite.ts';

// `npm run bench -- queue|cache|telemetry|gateway|hit-ratio [FILE] [--json FILE] [--rounds N] [--only WORKLOAD]`

/** By name; `hit-ratio` takes a file of keys. */
const suites: Readonly<Record<string, (file: string | undefined) => Suite>> = {
  queue: () => queueSuite(),
  cache: () => cacheSuite(),
  telemetry: () => telemetrySuite(),
  'hit-ratio': (file) => hitRatioSuite(file),
  gateway: () => gatewaySuite(),
};

const usage = `npm run bench -- ${Object.keys(suites).join('|')} [FILE] [--json FILE] [--rounds N] [--only WORKLOAD]`;
// A signal alone would end this process without what ends its servers.
for (const signal of ['SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => process.exit(exitCodes.failed));

// What a workload that failed has started must not hold up the end; it ends with this process.
process.exit(await run(process.argv.slice(2)));

async function run(args: readonly string[]): Promise<number> {
  const asked = understood(args);
  if (asked === undefined) {
    console.error(usage);
    return exitCodes.usage;
  }
  const { suite, rounds, only, json } = asked;
  const wanted = suite.workloads.filter((one) => only === undefined || one.workload === only);
  if (wanted.length === 0) {
    console.error(`--only must be one of ${suite.workloads.map((one) => one.workload).join(', ')}`);
    return exitCodes.usage;
  }
  warnOfOthers();
  const machine = await describeMachine();
  const versions = await suite.versions();
  const { results, failures } = await measure(wanted, rounds, (line) => console.error(line));
  const report: Report = { machine, versions, date: new Date().toISOString(), rounds, results };
  console.log(`\n${reportLines(report).join('\n')}`);
  for (const { workload, problem } of failures) console.error(`\n${workload} was not measured: ${problem}`);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  return failures.length === 0 ? exitCodes.done : exitCodes.failed;
}

interface Asked {
  readonly suite: Suite;
  readonly rounds: number;
  readonly only: string | undefined;
  readonly json: string | undefined;
}

function understood(args: readonly string[]): Asked | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'string' },
        rounds: { type: 'string', default: '6' },
        only: { type: 'string' },
      },
    });
    const [name = '', file] = positionals;
    const suite = suites[name]?.(file);
    const rounds = Number(values.rounds);
    if (
      suite === undefined ||
      positionals.length > (name === 'hit-ratio' ? 2 : 1) ||
      !Number.isInteger(rounds) ||
      rounds < 1
    )
      return undefined;
    return { suite, rounds, only: values.only, json: values.json };
  } catch (error) {
    // An option that there is none of: said in one line, and not with a stack.
    console.error(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

/** Rates measured beside other work say little; CPU an item still does. */
function warnOfOthers(): void {
  const [load = 0] = loadavg();
  const cores = cpus().length;
  if (load < cores / 2) return;
  console.error(`the machine is busy with something else (load ${load.toFixed(1)} on ${cores} cores)`);
}
