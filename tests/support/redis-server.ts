import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from 'redis';
import { freePort } from './free-port.ts';

export interface RedisServerOptions {
  /** Whether it has what was written after a restart, or nothing. Default: it has. */
  readonly persistent?: boolean;
  /** When what is written reaches the disk. Default: before the answer. */
  readonly appendFsync?: 'always' | 'everysec';
  /** Whether it is a node of a Redis Cluster. Default: it is not. */
  readonly isClusterNode?: boolean;
  /** Further options of the command line. */
  readonly args?: readonly string[];
}

export interface RunningRedisServer {
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now; another one after `restart`. */
  readonly pid: number;
  /** One command over a connection of its own; numbers, texts, null, or lists of them. */
  ask(...args: string[]): Promise<unknown>;
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>;
  /** Kills it (if it runs) and starts it again on the same port and folder. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a real redis-server and waits until it answers. */
export async function startRedisServer(options: RedisServerOptions = {}): Promise<RunningRedisServer> {
  const dir = await mkdtemp(join(tmpdir(), 'trivet-redis-'));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const persistence =
    options.persistent === false ? ['no'] : ['yes', '--appendfsync', options.appendFsync ?? 'always'];
  const address = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''];
  // By itself it takes the port 10,000 above, which may be somebody's.
  const cluster =
    options.isClusterNode === true
      ? ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())]
      : [];
  const args = [...address, ...cluster, '--appendonly', ...persistence, ...(options.args ?? [])];
  let child = await start(args, url);
  return {
    url,
    port,
    get pid() {
      return child.pid ?? 0;
    },
    ask: (...command) => askOnce(url, command),
    kill: () => end(child),
    restart: async () => {
      await end(child);
      child = await start(args, url);
    },
    stop: async () => {
      await end(child);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function start(args: readonly string[], url: string): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  await once(child, 'spawn');
  running.add(child);
  child.once('exit', () => running.delete(child));
  for (;;) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
    // It is asked until it has begun to listen and has read its files.
    const answer = await askOnce(url, ['PING']).catch(() => undefined);
    if (answer === 'PONG') return child;
    await delay(20);
  }
}

/** SIGKILL reaches one that is stopped, too. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

async function askOnce(url: string, command: readonly string[]): Promise<unknown> {
  const client = createClient({ url, RESP: 2, socket: { reconnectStrategy: false } });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await client.sendCommand(command);
  } finally {
    client.destroy();
  }
}
