import type { Command } from 'commander';

/** A bare number on the command line is one of milliseconds, as it is on the wire. */
export const durationOf = (text: string): string | number =>
  /^[0-9]{1,12}$/.test(text) ? Number(text) : text;

/** Lets every option that takes a duration, of this command and those below it, take whole milliseconds, too. */
export function readDurations(command: Command): void {
  for (const option of command.options)
    if (option.flags.endsWith('<duration>')) option.argParser((text) => durationOf(text));
  for (const below of command.commands) readDurations(below);
}
