import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import type { ReadyCluster } from '#services/cli/ready-screen.ts';

/** `npm start` as a process of its own, as a user sees it: its lines, its signals, its exit code. */
export interface StartedCluster {
  readonly dir: string;
  readonly process: ChildProcess;
  readonly lines: readonly string[];
  /** The next line (or one that came already) that has this in it. */
  line(part: string): Promise<string>;
  /** What stands in the ready line. */
  ready(): Promise<ReadyCluster>;
  /** Exit code, once it has ended. */
  ended(): Promise<number | null>;
  /** Kills what is left and removes the folder. */
  cleanUp(): Promise<void>;
}

export async function startCluster(options: {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Of an earlier start, to find its data. */
  readonly dir?: string;
  /** The module that is started. Default: with stand-ins for the services. */
  readonly entry?: string;
}): Promise<StartedCluster> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'trivet-start-')));
  const entry = options.entry ?? join(import.meta.dirname, 'start-with-stand-ins.ts');
  const args = ['--data', dir, '--nats-port', '0', '--http-port', '0', ...(options.args ?? [])];
  const child = spawn(process.execPath, [entry, ...args], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = once(child, 'close').then(([code]) => code as number | null);
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  const line = (part: string) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const seen = lines.find((one) => one.includes(part));
        if (seen === undefined) return;
        waiting.delete(look);
        resolve(seen);
      };
      waiting.add(look);
      look();
      void exit.then(() => reject(new Error(`it ended without "${part}":\n${lines.join('\n')}`)));
    });
  return {
    dir,
    process: child,
    lines,
    line,
    ready: async () =>
      JSON.parse((await line('trivet ready ')).slice('trivet ready '.length)) as ReadyCluster,
    ended: () => exit,
    cleanUp: async () => {
      await killProcessesOf(dir);
      await exit;
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export async function killProcessesOf(dir: string): Promise<void> {
  for (const pid of await processesOf(dir)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      // It has ended since it was found.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** Every process on this machine that knows of the folder: by its arguments or its environment. */
export async function processesOf(dir: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const known = await Promise.all(
    pids.map(async (pid) => {
      const [command, environment] = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
      );
      return command?.includes(dir) === true || environment?.includes(dir) === true;
    }),
  );
  return pids.filter((pid, index) => pid !== process.pid && known[index]);
}
