import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, test } from 'vitest';
import { killProcessesOf, processesOf } from '#tests/services/cli/started-cluster.ts';

let dir: string;
afterEach(async () => {
  await killProcessesOf(dir);
  await rm(dir, { recursive: true, force: true });
});

/** Through npm itself, as a script or a service manager would: what npm does with signals is part of it. */
test.each(['SIGTERM', 'SIGKILL'] as const)(
  'when npm is ended by %s, the cluster drains and no process is left',
  { timeout: 90_000 },
  async (signal) => {
    dir = await mkdtemp(join(tmpdir(), 'trivet-npm-'));
    const npm = spawn('npm', ['start', '--', '--data', dir, '--nats-port', '0', '--http-port', '0'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    for await (const line of createInterface({ input: npm.stdout }))
      if (line.startsWith('trivet ready ')) break;
    expect((await processesOf(dir)).length).toBeGreaterThan(0);
    const ended = once(npm, 'exit');
    npm.kill(signal);
    await ended;
    await expect.poll(() => processesOf(dir), { timeout: 20_000 }).toEqual([]);
  },
);
