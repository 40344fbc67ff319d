import { spawn } from 'node:child_process';

export interface CommandResult {
  /** undefined when the command could not be started or was ended by its deadline. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

// What a tool prints is read for its first lines and its last error; a runaway output must not fill the memory.
const outputCharactersMax = 1_000_000;

/** Runs a command to its end without a shell. Never rejects: a command that is missing is a result, too. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < outputCharactersMax) stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < outputCharactersMax) stderr += text;
    });
    child.on('error', (error) => resolve({ exitCode: undefined, stdout, stderr: error.message }));
    child.on('close', (code, signal) => {
      if (code !== null) return resolve({ exitCode: code, stdout, stderr });
      resolve({ exitCode: undefined, stdout, stderr: `${stderr}\nended by ${signal ?? 'a signal'}`.trim() });
    });
  });
}

/** The last line that says something: what most tools put their reason on. */
export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
