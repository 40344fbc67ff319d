import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import {
  launchArguments,
  launchEnvironment,
  type NatsServerLaunch,
  serviceUser,
  waitForPorts,
} from '#services/cli/nats-server/launch.ts';
import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';

export interface NatsServerOptions {
  /** Where the streams are kept. Default: a temporary folder, removed by `stop`. A given folder stays. */
  readonly dir?: string;
  /** Default: any free one. */
  readonly port?: number;
  /** `nats.conf` (default) is the repository's file, with its permissions; `plain` lets everybody do everything. */
  readonly config?: 'nats.conf' | 'plain';
  /** Further variables for the server's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunningNatsServer {
  /** For an anonymous local client: what a user's program can do. */
  readonly url: string;
  /** With the credentials of the services: `nats://user:password@host:port`. */
  readonly serviceUrl: string;
  readonly user: string;
  readonly password: string;
  readonly port: number;
  readonly monitorUrl: string;
  /** Of the process that runs now; another one after `restart`. */
  readonly pid: number;
  readonly dir: string;
  /** Ends it in an orderly way and removes the temporary folder. */
  stop(): Promise<void>;
  /** SIGKILL, at once: what a crash looks like to the clients. The data stays; `restart` brings it back. */
  kill(): void;
  /** Ends it (if it runs) and starts it again on the same port and data. */
  restart(): Promise<void>;
}

const password = 'password-of-the-services-in-tests';
const startTimeoutMs = 20_000;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts a real nats-server with JetStream and waits until it accepts connections. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<RunningNatsServer> {
  const { path: binary } = await resolveNatsServer();
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'trivet-nats-')));
  const launch: NatsServerLaunch = {
    binary,
    configPath: await configPath(options.config ?? 'nats.conf', dir),
    storePath: join(dir, 'store'),
    port: options.port ?? 0,
    monitorPort: 0,
    servicePassword: password,
    portsPath: join(dir, 'ports'),
  };
  await mkdir(launch.portsPath, { recursive: true });
  const env = { ...process.env, ...options.env };

  let current = await start(launch, env);
  const address = { ...current.ports };
  const host = `127.0.0.1:${address.port}`;
  return {
    url: `nats://${host}`,
    serviceUrl: options.config === 'plain' ? `nats://${host}` : `nats://${serviceUser}:${password}@${host}`,
    user: serviceUser,
    password,
    port: address.port,
    monitorUrl: `http://127.0.0.1:${address.monitorPort}`,
    get pid() {
      return current.pid;
    },
    dir,
    stop: async () => {
      await end(current.child, 'SIGTERM');
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
    kill: () => {
      current.child.kill('SIGKILL');
    },
    restart: async () => {
      await end(current.child, 'SIGTERM');
      current = await start({ ...launch, port: address.port, monitorPort: address.monitorPort }, env);
    },
  };
}

async function start(launch: NatsServerLaunch, env: NodeJS.ProcessEnv) {
  const child = spawn(launch.binary, launchArguments(launch), {
    env: { ...env, ...launchEnvironment(launch) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-4000);
  });
  running.add(child);
  child.on('exit', () => running.delete(child));
  await once(child, 'spawn');
  const { pid } = child;
  if (pid === undefined) throw new Error(`${launch.binary} did not start`);
  const ports = await waitForPorts({
    launch,
    pid,
    timeoutMs: startTimeoutMs,
    gone: () => (hasEnded(child) ? `nats-server ended while it was starting:\n${log}` : undefined),
  });
  return { child, pid, ports: { port: ports.port, monitorPort: ports.monitorPort ?? 0 } };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function configPath(config: 'nats.conf' | 'plain', dir: string): Promise<string> {
  if (config === 'nats.conf') return resolve('nats.conf');
  const path = join(dir, 'plain.conf');
  await mkdir(dir, { recursive: true });
  await writeFile(
    path,
    'host: "127.0.0.1"\nport: $TRIVET_NATS_PORT\nhttp: $TRIVET_NATS_MONITOR\nmax_payload: 8MB\n' +
      'jetstream { store_dir: $TRIVET_NATS_STORE }\n',
  );
  return path;
}
