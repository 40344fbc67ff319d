import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '#tests/support/free-port.ts';

export interface RunningRedis {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A Redis of its own with `appendfsync everysec`, the durability that job queues on Redis are run with. */
export async function startRedis(): Promise<RunningRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'trivet-redis-'));
  const port = await freePort();
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--appendonly',
    'yes',
    '--appendfsync',
    'everysec',
    '--save',
    '',
    '--maxmemory-policy',
    'noeviction',
  ];
  const child: ChildProcess = spawn('redis-server', args, { stdio: 'ignore' });
  await once(child, 'spawn');
  running.add(child);
  child.once('exit', () => running.delete(child));
  const client = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: null });
  // It is asked until it has begun to listen; each refusal before that is expected.
  client.on('error', () => undefined);
  await client.ping();
  await client.quit();
  return {
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
