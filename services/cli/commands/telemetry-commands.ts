import type { Command } from 'commander';
import { ask, inSession, print } from './session.ts';

/** `trivet telemetry stats | series | events | errors | operations`. */
export function telemetryCommands(program: Command): void {
  const telemetry = program.command('telemetry').description('ask the collector');
  for (const [name, about] of [
    ['stats', 'what was received, exported, refused and is pending'],
    ['series', 'metrics and their values'],
    ['events', 'recent events'],
    ['errors', 'recent errors'],
    ['operations', 'operations with success rate and percentiles'],
  ] as const) {
    telemetry
      .command(name)
      .description(about)
      .action(async (_: unknown, command: Command) => {
        await inSession(command, async (trivet) =>
          print(await ask(trivet, trivet.subjects.telemetryQuery(name), {})),
        );
      });
  }
}
