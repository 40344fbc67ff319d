import { Command, CommanderError } from 'commander';
import { TrivetError } from '#shared/protocol/errors.ts';
import { exitCodes } from '#shared/runtime/exit-codes.ts';
import { version } from '#shared/runtime/version.ts';
import { auditCommands } from './commands/audit-commands.ts';
import { cacheCommands } from './commands/cache-commands.ts';
import { cacheFileCommands } from './commands/cache-file-commands.ts';
import { readDurations } from './commands/durations.ts';
import { flowCommands } from './commands/flow-commands.ts';
import { itemCommands } from './commands/item-commands.ts';
import { queueCommands } from './commands/queue-commands.ts';
import { telemetryCommands } from './commands/telemetry-commands.ts';
import { timeCommands } from './commands/time-commands.ts';
import { tokenCommands } from './commands/token-commands.ts';

// The `trivet` command: one-liners over the same protocol that every client speaks.

const program = new Command('trivet')
  .description('The cache, the job queue and the telemetry collector on your NATS.')
  .version(version)
  .option('--nats <url>', 'where NATS is (default: NATS_URL, then nats://127.0.0.1:4222)')
  .option(
    '--token <token>',
    'an API key or a JWT, where tokens are required and for token and audit (default: TRIVET_TOKEN, then the file token in TRIVET_DATA or .trivet)',
  )
  .option(
    '--http <url>',
    'where the gateway is, for token and audit (default: TRIVET_HTTP_URL, then http://127.0.0.1:8420)',
  )
  .option('--subject-prefix <word>', 'first token of every subject (default: TRIVET_PREFIX, then trivet)')
  .exitOverride();

queueCommands(program);
itemCommands(program);
flowCommands(program);
timeCommands(program);
const cache = program.command('cache').description('look into the cache and change it');
cacheCommands(cache);
cacheFileCommands(cache);
telemetryCommands(program);
tokenCommands(program);
auditCommands(program);
readDurations(program);
pointToHelp(program, 'trivet');

/** After a fault: the help of the command that was meant, not that of all commands. */
function pointToHelp(command: Command, path: string): void {
  command.showHelpAfterError(`(${path} --help says more)`);
  for (const one of command.commands) pointToHelp(one, `${path} ${one.name()}`);
}

// Whoever reads what is printed has read enough (`trivet list … | head`), which is no fault of either.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.done);
  process.stderr.write(`trivet: ${error.message}\n`);
  process.exit(exitCodes.failed);
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  else {
    process.stderr.write(`trivet: ${error instanceof Error ? error.message : String(error)}\n`);
    const badUsage = error instanceof TrivetError && error.code === 'invalid_request';
    // At once: the library leaves the socket of a server that did not greet open, for as long as that one likes.
    process.exit(badUsage ? exitCodes.usage : exitCodes.failed);
  }
}
