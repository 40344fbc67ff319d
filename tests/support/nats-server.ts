import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type CalloutKeys, publicCalloutKeys } from '#shared/runtime/auth-callout.ts';
import { type NatsServerLaunch, serviceUser } from '#services/cli/nats-server/launch.ts';
import { renderConfig } from '#services/cli/nats-server/render-config.ts';
import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import type { ReadyMessage } from '#services/cli/supervised-process.ts';

export interface NatsServerOptions {
  /** Where the streams are kept. Default: a temporary folder, removed by `stop`. A given folder stays. */
  readonly dir?: string;
  /** Default: any free one. */
  readonly port?: number;
  /** `nats.conf` (default) is the repository's file, with its permissions; `plain` lets everybody do everything. */
  readonly config?: 'nats.conf' | 'plain';
  /** `max_payload` of `plain`; default 8 MB, as in nats.conf. */
  readonly payloadBytesMax?: number;
  /** Further lines of `plain`. */
  readonly plainLines?: string;
  /** nats.conf with the auth callout: nobody connects without a token. */
  readonly calloutKeys?: CalloutKeys;
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
  /** Ends it, does something with its files, and starts it again as `restart` does. */
  stopped(act: () => Promise<unknown>): Promise<void>;
}

const password = 'password-of-the-services-in-tests';
const root = join(import.meta.dirname, '..', '..');

/** Starts a real nats-server with JetStream and waits until it accepts connections. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<RunningNatsServer> {
  const { path: binary } = await resolveNatsServer();
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'trivet-nats-')));
  const launch: NatsServerLaunch = {
    binary,
    configPath: await configPath(options, dir),
    storePath: join(dir, 'store'),
    port: options.port ?? 0,
    monitorPort: 0,
    servicePassword: password,
    portsPath: join(dir, 'ports'),
    ...(options.calloutKeys === undefined
      ? {}
      : { callout: { ...publicCalloutKeys(options.calloutKeys), logFile: join(dir, 'nats-server.log') } }),
  };
  await mkdir(launch.portsPath, { recursive: true });
  const env = { ...process.env, ...options.env };

  let current = await start(launch, env);
  const startAgain = async () => {
    current = await start({ ...launch, port: address.port, monitorPort: address.monitorPort }, env);
  };
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
      await end(current.keeper);
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    },
    kill: () => {
      if (!hasEnded(current.keeper)) process.kill(current.pid, 'SIGKILL');
    },
    restart: async () => {
      await end(current.keeper);
      await startAgain();
    },
    stopped: async (act) => {
      await end(current.keeper);
      await act();
      await startAgain();
    },
  };
}

// Under its keeper, as `npm start` runs it: a test that fails, hangs or is killed leaves no server behind, since the
// keeper ends it when the channel to this process closes.
async function start(launch: NatsServerLaunch, env: NodeJS.ProcessEnv) {
  const keeper = fork(join(root, 'services', 'cli', 'nats-keeper.ts'), {
    env: { ...env, TRIVET_NATS_LAUNCH: JSON.stringify(launch) },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let log = '';
  for (const stream of [keeper.stdout, keeper.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-4000);
    });
  const ready = once(keeper, 'message') as Promise<[ReadyMessage]>;
  const ended = once(keeper, 'close').then(() => undefined);
  const [message] = (await Promise.race([ready, ended])) ?? [];
  if (message?.nats === undefined) throw new Error(`nats-server ended while it was starting:\n${log}`);
  const { pid, port, monitorPort } = message.nats;
  return { keeper, pid, ports: { port, monitorPort: monitorPort ?? 0 } };
}

async function end(keeper: ChildProcess): Promise<void> {
  if (hasEnded(keeper)) return;
  const ended = once(keeper, 'exit');
  keeper.kill('SIGTERM');
  await ended;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function configPath(
  { config = 'nats.conf', calloutKeys, payloadBytesMax = 8_388_608, plainLines = '' }: NatsServerOptions,
  dir: string,
): Promise<string> {
  if (calloutKeys !== undefined) {
    const path = join(dir, 'nats.conf');
    const text = await readFile(join(root, 'nats.conf'), 'utf8');
    await mkdir(dir, { recursive: true });
    await writeFile(path, renderConfig(text, { prefix: 'trivet', requireTokens: true }));
    return path;
  }
  if (config === 'nats.conf') return join(root, 'nats.conf');
  const path = join(dir, 'plain.conf');
  await mkdir(dir, { recursive: true });
  await writeFile(
    path,
    'host: "127.0.0.1"\nport: $TRIVET_NATS_PORT\nhttp: $TRIVET_NATS_MONITOR\nmax_payload: ' +
      `${payloadBytesMax}\n` +
      `jetstream { store_dir: $TRIVET_NATS_STORE }\n${plainLines}\n`,
  );
  return path;
}
