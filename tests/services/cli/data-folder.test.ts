import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { openDataFolder } from '#services/cli/data-folder.ts';
import { isRunning, markOf } from '#services/cli/process-mark.ts';

let dir: string;
const silent = () => undefined;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'trivet-data-'));
});

afterEach(() => rm(dir, { recursive: true, force: true }));

async function endedProcess(): Promise<number> {
  const child = spawn('true');
  await once(child, 'exit');
  return child.pid ?? 0;
}

test('a folder is held by one start at a time and free after its release', async () => {
  const first = await openDataFolder(dir, silent);
  await expect(openDataFolder(dir, silent)).rejects.toMatchObject({ exitCode: 2 });
  await expect(openDataFolder(dir, silent)).rejects.toThrow(`pid ${process.pid}`);
  await first.release();
  await (await openDataFolder(dir, silent)).release();
});

test('the lock of a start that is gone does not keep the next one out', async () => {
  const gone = { pid: await endedProcess(), started: 'some boot 1' };
  await writeFile(join(dir, 'supervisor.lock'), JSON.stringify(gone));
  await (await openDataFolder(dir, silent)).release();
});

test('a lock whose pid belongs to another process by now does not keep the next one out', async () => {
  await writeFile(
    join(dir, 'supervisor.lock'),
    JSON.stringify({ pid: process.pid, started: 'another boot 1' }),
  );
  await (await openDataFolder(dir, silent)).release();
});

test('a torn lock does not keep the next one out', async () => {
  await writeFile(join(dir, 'supervisor.lock'), '{"pid":');
  await (await openDataFolder(dir, silent)).release();
});

test('of many starts at once on a stale lock one gets the folder', async () => {
  await writeFile(join(dir, 'supervisor.lock'), JSON.stringify({ pid: await endedProcess(), started: '' }));
  const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => openDataFolder(dir, silent)));
  expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('a secret is made once, kept, and readable by its owner alone', async () => {
  const first = await openDataFolder(dir, silent);
  const token = await first.secret('token');
  expect(token).toMatch(/^[A-Za-z0-9_-]{32}$/);
  expect(await first.secret('nats-password')).not.toBe(token);
  await first.release();
  const second = await openDataFolder(dir, silent);
  expect(await second.secret('token')).toBe(token);
  expect((await stat(join(dir, 'token'))).mode & 0o777).toBe(0o600);
  await second.release();
  expect((await readdir(dir)).sort()).toEqual(['nats', 'nats-password', 'token']);
});

test('a start waits for the processes of the last run', async () => {
  const left = spawn('sleep', ['0.5']);
  await once(left, 'spawn');
  const first = await openDataFolder(dir, silent);
  await first.remember([left.pid ?? 0]);
  await rm(join(dir, 'supervisor.lock'));
  const said: string[] = [];
  const second = await openDataFolder(dir, (line) => said.push(line));
  expect(said).toEqual([`waiting for processes of the last run to end (${left.pid})`]);
  expect(left.exitCode).toBe(0);
  await second.release();
});

test('a process is told apart from a later one with its pid', async () => {
  const mark = await markOf(process.pid);
  if (mark === undefined) throw new Error('this process does not run');
  expect(await isRunning(mark)).toBe(true);
  expect(await isRunning({ ...mark, started: 'another boot 1' })).toBe(false);
  expect(await markOf(await endedProcess())).toBeUndefined();
});

test('a folder that cannot be made is bad usage and names the option', async () => {
  await expect(openDataFolder('/etc/hostname/data', () => undefined)).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('--data /etc/hostname/data') as string,
  });
});

// Root may read and write everything; a folder in the place of a file is refused to everybody.
test('a folder that cannot be used is refused with the reason, not with a stack', async () => {
  await mkdir(join(dir, 'supervisor.lock'));
  const refused = openDataFolder(dir, silent);
  await expect(refused).rejects.toMatchObject({ name: 'StartRefused', exitCode: 2 });
  await expect(refused).rejects.toThrow(`${join(dir, 'supervisor.lock')} cannot be read (EISDIR`);
});

test('a secret that is there and cannot be read is refused, not made anew', async () => {
  await mkdir(join(dir, 'audit-key'));
  const folder = await openDataFolder(dir, silent);
  await expect(folder.secret('audit-key')).rejects.toMatchObject({ exitCode: 2 });
  await expect(folder.secret('audit-key')).rejects.toThrow(`${join(dir, 'audit-key')} cannot be read`);
  await folder.release();
});
