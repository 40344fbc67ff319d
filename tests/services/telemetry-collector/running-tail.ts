import { type ChildProcess, spawn } from 'node:child_process';

/** `trivet telemetry tail` as a process of its own. */
export interface RunningTail {
  readonly child: ChildProcess;
  readonly records: () => readonly { readonly message: string; readonly level: string }[];
  readonly complaints: () => string;
}

/** @param globals options of `trivet`: where NATS is, and the token */
export function runTail(globals: readonly string[], options: readonly string[] = []): RunningTail {
  const command = ['services/cli/main.ts', ...globals, 'telemetry', 'tail', ...options];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
  const written = { out: '', error: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.error += text));
  return {
    child,
    records: () =>
      written.out
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as { message: string; level: string }),
    complaints: () => written.error,
  };
}
