import { formatLogLine, isDecoration, type LogStyle } from './log-lines.ts';

/** The supervisor's own output: its notices, the logs of all processes, and the ready screen. */
export interface Terminal {
  /** A line of a process's log. */
  log(from: string, text: string): void;
  notice(level: 'info' | 'warn' | 'error', text: string): void;
  /** The screen for people, then the line for scripts. The only thing that shows the token. */
  show(screen: string, line: string): void;
  /** Masks this in everything but the ready screen. */
  hide(secret: string): void;
}

export function openTerminal(options: { readonly json: boolean; readonly nowIso: () => string }): Terminal {
  const secrets: string[] = [];
  const out = process.stdout;
  // A terminal that was closed or a `head` that has read enough is no reason to end a cluster uncleanly.
  out.on('error', () => undefined);
  const style: LogStyle = {
    json: options.json,
    colour: out.isTTY && process.env['NO_COLOR'] === undefined,
    secrets,
  };
  const write = (line: string) => void out.write(`${line}\n`);
  return {
    log: (from, text) => {
      if (!isDecoration(text)) write(formatLogLine({ from, text, at: options.nowIso() }, style));
    },
    notice: (level, text) =>
      write(
        formatLogLine(
          { from: 'trivet', text: JSON.stringify({ level, msg: text }), at: options.nowIso() },
          style,
        ),
      ),
    show: (screen, line) => {
      // Who asked for JSON lines reads them with a program; the ready line is made for one, the screen is not.
      if (!options.json) write(screen);
      write(line);
    },
    hide: (secret) => void secrets.push(secret),
  };
}
