import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { sleep, systemClock } from '#shared/runtime/clock.ts';

import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { makeFolder } from '#shared/runtime/owned-folder.ts';

import { isRunning, markOf, parseMark, type ProcessMark } from './process-mark.ts';

export type SecretName =
  'token' | 'nats-password' | 'session-secret' | 'audit-key' | 'callout-issuer' | 'callout-xkey';

/**
 * The folder that a cluster on one machine lives in:
 *
 *     token                 the local admin token            (0600)
 *     nats-password         of the user of the services      (0600)
 *     session-secret, audit-key, callout-issuer, callout-xkey   (0600)
 *     nats/                 streams, ports, rendered nats.conf
 *     <process name>/       one for each process: queue-broker-1/, …
 *     supervisor.lock       which supervisor holds the folder
 *     processes.json        what it started, so that the next one can wait for leftovers
 */
export interface DataFolder {
  readonly path: string;
  readonly natsPath: string;
  readonly pathOf: (processName: string) => string;
  /** Reads the secret of this name, or makes and keeps one. */
  secret(name: SecretName, make?: () => string): Promise<string>;
  /** Writes down which processes run now. */
  remember(pids: readonly number[]): Promise<void>;
  release(): Promise<void>;
}

/**
 * Makes the folder, or takes the one an earlier start left, for this process alone.
 * @throws StartRefused (2) when it cannot be made, read or written, or another supervisor holds it
 */
export async function openDataFolder(given: string, report: (line: string) => void): Promise<DataFolder> {
  const path = resolve(given);
  try {
    makeFolder(join(path, 'nats'));
  } catch (error) {
    refuseAs(`--data ${given}: the folder cannot be made`)(error);
  }
  await acquireLock(path);
  await waitForLeftovers(path, report);
  return {
    path,
    natsPath: join(path, 'nats'),
    pathOf: (processName) => join(path, processName),
    secret: (name, make = randomSecret) => readOrMakeSecret(join(path, name), make),
    remember: (pids) => rememberProcesses(path, pids),
    release: async () => {
      await rm(join(path, 'processes.json'), { force: true });
      await rm(join(path, 'supervisor.lock'), { force: true });
    },
  };
}

async function acquireLock(path: string): Promise<void> {
  const lock = join(path, 'supervisor.lock');
  const own = JSON.stringify(await markOf(process.pid));
  for (;;) {
    if (await writeNew(lock, own)) return;
    const before = await readIfThere(lock);
    const holder = parseMark(parseJson(before));
    if (holder !== undefined && (await isRunning(holder)))
      throw new StartRefused(
        2,
        `${path} is in use by another start (pid ${holder.pid}). Stop that one, or choose another folder with --data.`,
      );
    // Somebody may be writing it this very moment.
    if (holder === undefined) await sleep(systemClock, 200);
    await removeStale(lock, before);
  }
}

// Renamed before it is judged: of two starts that find the same stale lock, the slower one must not remove the lock
// that the faster one has made meanwhile.
async function removeStale(lock: string, judged: string): Promise<void> {
  const aside = `${lock}.${process.pid}`;
  await rename(lock, aside).catch(() => undefined);
  const taken = await readFile(aside, 'utf8').catch(() => judged);
  if (taken !== judged) await writeNew(lock, taken);
  await rm(aside, { force: true });
}

async function writeNew(file: string, content: string): Promise<boolean> {
  try {
    await writeFile(file, content, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    return refuseAs(`${file} cannot be written`)(error);
  }
}

const leftoversTimeoutMs = 15_000;

// After a SIGKILL of the supervisor its children drain by themselves, which takes seconds; a new cluster on the same
// data must not meet them.
async function waitForLeftovers(path: string, report: (line: string) => void): Promise<void> {
  const stored = parseJson(await readIfThere(join(path, 'processes.json')));
  const marks = (Array.isArray(stored) ? stored : []).map(parseMark).filter((mark) => mark !== undefined);
  const deadline = systemClock.monotonicMs() + leftoversTimeoutMs;
  let told = false;
  for (;;) {
    const left = await stillRunning(marks);
    if (left.length === 0) return;
    if (!told)
      report(`waiting for processes of the last run to end (${left.map(({ pid }) => pid).join(', ')})`);
    told = true;
    if (systemClock.monotonicMs() >= deadline) {
      for (const { pid } of left) killIfThere(pid);
      return;
    }
    await sleep(systemClock, 100);
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It ended between the look and the kill.
    if (!hasCode(error, 'ESRCH')) refuseAs(`process ${pid} of the last run cannot be ended`)(error);
  }
}

async function stillRunning(marks: readonly ProcessMark[]): Promise<readonly ProcessMark[]> {
  const running = await Promise.all(marks.map(isRunning));
  return marks.filter((_, index) => running[index]);
}

async function rememberProcesses(path: string, pids: readonly number[]): Promise<void> {
  const marks = (await Promise.all(pids.map(markOf))).filter((mark) => mark !== undefined);
  await writeWhole(join(path, 'processes.json'), JSON.stringify(marks));
}

const randomSecret = (): string => randomBytes(24).toString('base64url');

async function readOrMakeSecret(file: string, make: () => string): Promise<string> {
  const kept = (await readIfThere(file)).trim();
  if (kept !== '') return kept;
  const made = make();
  await writeWhole(file, `${made}\n`);
  return made;
}

async function writeWhole(file: string, content: string): Promise<void> {
  const staged = `${file}.${process.pid}`;
  await writeFile(staged, content, { mode: 0o600 })
    .then(() => rename(staged, file))
    .catch(refuseAs(`${file} cannot be written`));
}

/** Empty where there is none. One that is there and cannot be read is never taken for none: it would be made anew. */
async function readIfThere(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((error: unknown) =>
    hasCode(error, 'ENOENT') ? '' : refuseAs(`${file} cannot be read`)(error),
  );
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

/** What the system says of a folder is for who started us, without a stack. */
const refuseAs =
  (what: string) =>
  (error: unknown): never => {
    throw new StartRefused(2, `${what} (${error instanceof Error ? error.message : String(error)})`);
  };

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // An absent or torn file says nothing.
    return undefined;
  }
}
