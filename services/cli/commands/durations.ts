import type { Command } from 'commander';
import { durationMs } from '#shared/protocol/durations.ts';

/** A bare number on the command line is one of milliseconds, as it is on the wire. */
export const durationOf = (text: string): string | number =>
  /^[0-9]{1,12}$/.test(text) ? Number(text) : text;

/** A time that is given as how long ago it is (`15m`), as the time itself; anything else as it is. */
export function timeOf(text: string, nowMs: number): string {
  const agoMs = durationMs(text);
  const atMs = nowMs - (agoMs ?? 0);
  return agoMs === undefined || atMs < 0 ? text : new Date(atMs).toISOString();
}

/** Lets every option that takes a duration take whole milliseconds, too, and one that takes a time how long ago it is. */
export function readDurations(command: Command): void {
  for (const option of command.options)
    if (option.flags.endsWith('<duration>')) option.argParser((text) => durationOf(text));
    else if (option.flags.endsWith('<time|ago>')) option.argParser((text) => timeOf(text, Date.now()));
  for (const below of command.commands) readDurations(below);
}
