import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Starts `count` worker processes and waits until each has begun. */
export async function startFleet(
  count: number,
  env: Readonly<Record<string, string>>,
): Promise<readonly ChildProcess[]> {
  const entry = fileURLToPath(new URL('./worker-process.ts', import.meta.url));
  const workers = Array.from({ length: count }, (_, index) =>
    fork(entry, [String(index + 1)], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  return workers;
}

/** Lets every worker finish what it has. */
export async function stopFleet(workers: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    workers.map(async (worker) => {
      const ended = once(worker, 'exit');
      worker.kill('SIGTERM');
      await ended;
    }),
  );
}
