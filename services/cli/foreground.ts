import { systemClock } from '#shared/runtime/clock.ts';
import { exitCodes, StartRefused } from '#shared/runtime/exit-codes.ts';

import type { ServiceName } from './cluster-plan.ts';
import { Cluster } from './cluster.ts';
import { readStartOptions, type StartOptions, usage } from './start-options.ts';
import { type Terminal, openTerminal } from './terminal.ts';

// npm passes a Ctrl-C on to its child, which has got it from the terminal already: the same key, twice.
const sameSignalMs = 500;

const parentLookMs = 500;

/**
 * Runs a whole cluster until a signal ends it, and then ends this process: 0 drained, 1 failed or cut short,
 * 2 bad usage or configuration, 3 a needed part is missing.
 * @param entryOf the module of each service; another one in tests
 */
export async function runInForeground(
  args: readonly string[],
  entryOf?: (service: ServiceName) => string,
): Promise<void> {
  const request = readStartOptions(args, process.env);
  if (request.kind === 'start') return superviseUntilSignal(request.options, entryOf);
  if (request.kind === 'help') return void process.stdout.write(`${request.text}\n`);
  process.stderr.write(`${request.faults.map((fault) => `trivet: ${fault}`).join('\n')}\n\n${usage()}\n`);
  process.exitCode = exitCodes.usage;
}

async function superviseUntilSignal(
  options: StartOptions,
  entryOf: ((service: ServiceName) => string) | undefined,
): Promise<void> {
  const terminal = openTerminal({
    json: options.jsonLogs === 'true',
    nowIso: () => new Date(systemClock.nowMs()).toISOString(),
  });
  const cluster = new Cluster({
    options,
    terminal,
    env: process.env,
    ...(entryOf === undefined ? {} : { entryOf }),
  });
  let endingSinceMs: number | undefined;

  const end = (signal: string) => {
    const nowMs = systemClock.monotonicMs();
    if (endingSinceMs === undefined) {
      endingSinceMs = nowMs;
      terminal.notice('info', `${signal}: draining; once more ends everything at once`);
      void drainAndExit(cluster, terminal, exitCodes.done);
    } else if (nowMs - endingSinceMs > sameSignalMs) {
      cluster.kill();
      process.exit(exitCodes.failed);
    }
  };
  const fail = (error: unknown) => {
    // While it drains, what was being started fails; that is not the news.
    if (endingSinceMs !== undefined && error instanceof StartRefused) return;
    terminal.notice('error', error instanceof StartRefused ? error.message : stackOf(error));
    const exitCode = error instanceof StartRefused ? error.exitCode : exitCodes.failed;
    endingSinceMs ??= systemClock.monotonicMs();
    void drainAndExit(cluster, terminal, exitCode);
  };

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(signal));
  if (process.env['npm_lifecycle_event'] !== undefined) watchParent(() => end('npm has ended'));
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  await cluster.start().catch(fail);
}

/**
 * npm does not hand every signal on: ended by SIGTERM or SIGKILL it leaves its child behind. A process of which init
 * has become the parent has lost its own; there is no event for that, so it is looked at.
 */
function watchParent(lost: () => void): void {
  const parent = process.ppid;
  const look = () => {
    if (process.ppid === parent) systemClock.after(parentLookMs, look);
    else lost();
  };
  systemClock.after(parentLookMs, look);
}

async function drainAndExit(cluster: Cluster, terminal: Terminal, exitCode: number): Promise<void> {
  await cluster.drain();
  terminal.notice('info', 'everything has ended');
  process.exit(exitCode);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
