import { parseArgs } from 'node:util';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { runChaos } from './chaos-run.ts';

// `npm run chaos -- --minutes N`: the whole cluster under load while its processes are killed and frozen. `SEED=n`
// draws the same blows at the same distances; what they hit is up to the machine. Needs /proc, and so Linux.

const usage = 'npm run chaos -- [--minutes N]   (SEED=n repeats the draws of a run)';
process.exitCode = await run(process.argv.slice(2));

async function run(args: readonly string[]): Promise<number> {
  const minutes = minutesOf(args);
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  if (minutes === undefined || !Number.isInteger(seed)) {
    console.error(usage);
    return exitCodes.usage;
  }
  console.log(`SEED=${seed}, ${minutes} minutes`);
  const outcome = await runChaos({ durationMs: minutes * 60_000, seed, report: (line) => console.log(line) });
  const { blows, handled, cacheCalls, cacheRefused, increments, faults } = outcome;
  console.log(
    `\n${blows.length} blows, ${handled} items handled, ${cacheCalls} cache calls (${cacheRefused} refused), ` +
      `${increments} increments acknowledged`,
  );
  for (const fault of faults) console.error(`FAULT ${fault}`);
  console.log(
    faults.length === 0 ? 'nothing was lost, doubled or stale' : `${faults.length} faults, SEED=${seed}`,
  );
  return faults.length === 0 ? exitCodes.done : exitCodes.failed;
}

function minutesOf(args: readonly string[]): number | undefined {
  try {
    const { values } = parseArgs({ args: [...args], options: { minutes: { type: 'string', default: '2' } } });
    const minutes = Number(values.minutes);
    return minutes > 0 && minutes <= 24 * 60 ? minutes : undefined;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}
