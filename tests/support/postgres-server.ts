import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { isOnPath } from '#services/cli/embedded-nats.ts';
import { runCommand } from '#services/cli/nats-server/run-command.ts';
import { freePort } from './free-port.ts';

export interface RunningPostgres {
  /** For `DATABASE_URL`. */
  readonly url: string;
  /** SIGKILL of the server and, with it, of everything that it was doing; then the same data again. */
  killAndRestart(): Promise<void>;
  stop(): Promise<void>;
}

/** Where Debian keeps the programs of its PostgreSQL versions; they are not on PATH. */
const debianFolder = '/usr/lib/postgresql';
const startMsMax = 30_000;
const outputLengthMax = 10_000;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGQUIT');
});

/** The folder with `initdb` and `postgres`, the newest where there are several; empty when they are on PATH. */
export async function postgresFolder(): Promise<string | undefined> {
  const versions = await readdir(debianFolder).catch(() => []);
  const [newest] = versions.sort((a, b) => Number(b) - Number(a));
  if (newest !== undefined) return join(debianFolder, newest, 'bin');
  return (await isOnPath('initdb', process.env)) ? '' : undefined;
}

/** A PostgreSQL of its own in a temporary folder, on loopback and a free port, with the durability that it has by default. */
export async function startPostgres(): Promise<RunningPostgres> {
  const folder = await postgresFolder();
  if (folder === undefined) throw new Error('there is no PostgreSQL on this machine');
  const dir = await mkdtemp(join(tmpdir(), 'trivet-postgres-'));
  const user = await unprivilegedUser();
  if (user.uid !== undefined && user.gid !== undefined) await chown(dir, user.uid, user.gid);
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const program = (name: string) => (folder === '' ? name : join(folder, name));
  const data = join(dir, 'data');
  const run = (name: string, args: readonly string[]) =>
    spawn(program(name), args, { ...user, cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });

  const made = run('initdb', [
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'trust',
    '--no-sync',
    '-E',
    'UTF8',
    '--locale=C',
  ]);
  const words = collect(made);
  const [exitCode] = (await once(made, 'close')) as [number | null];
  if (exitCode !== 0) throw new Error(`initdb failed:\n${words()}`);

  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
  const start = () =>
    serving(() => run('postgres', ['-D', data, ...settings.flatMap((one) => ['-c', one])]), url);
  let server = await start();
  return {
    url,
    killAndRestart: async () => {
      await end(server, 'SIGKILL');
      server = await start();
    },
    stop: async () => {
      // Immediate shutdown: clients that a failed test left do not hold it up.
      await end(server, 'SIGQUIT');
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root; its package makes a user for it. */
async function unprivilegedUser(): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const users = await readFile('/etc/passwd', 'utf8');
  const line = /^postgres:[^:]*:(\d+):(\d+):/m.exec(users) ?? /^nobody:[^:]*:(\d+):(\d+):/m.exec(users);
  return { uid: Number(line?.[1]), gid: Number(line?.[2]) };
}

/**
 * Starts it until it answers. After a SIGKILL the processes that worked for the former one end by themselves, and until
 * they have it refuses to start beside them.
 */
async function serving(spawnServer: () => ChildProcess, url: string): Promise<ChildProcess> {
  const deadline = Date.now() + startMsMax;
  let words: () => string = () => '';
  while (Date.now() < deadline) {
    const child = spawnServer();
    words = collect(child);
    running.add(child);
    child.once('exit', () => running.delete(child));
    while (child.exitCode === null && Date.now() < deadline) {
      if (await answers(url)) return child;
      await delay(50);
    }
    await end(child, 'SIGKILL');
  }
  throw new Error(`postgres did not serve within ${startMsMax} ms:\n${words()}`);
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

function collect(child: ChildProcess): () => string {
  let written = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      written = (written + text).slice(-outputLengthMax);
    });
  }
  return () => written;
}

/** Why there is no PostgreSQL to test with, or undefined when there is one. */
export async function missingPostgres(): Promise<string | undefined> {
  const folder = await postgresFolder();
  if (folder === undefined) return `there is no initdb on PATH, and nothing in ${debianFolder}`;
  const program = folder === '' ? 'initdb' : join(folder, 'initdb');
  const { exitCode, stderr } = await runCommand(program, ['--version'], { timeoutMs: 10_000 });
  return exitCode === 0 ? undefined : `\`${program} --version\` fails: ${stderr}`;
}
