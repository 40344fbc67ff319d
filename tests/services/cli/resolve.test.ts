import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import { inCache, onPath } from '#services/cli/nats-server/local-sources.ts';
import { absent, found, type NatsServerSource } from '#services/cli/nats-server/source.ts';
import { natsServerSources } from '#services/cli/nats-server/sources.ts';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'trivet-resolve-'));
});

afterEach(() => rm(dir, { recursive: true, force: true }));

/** A program that says of itself that it is a nats-server of this version. */
async function binary(path: string, version: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(path, 0o755);
  return path;
}

const source = (name: string, obtain: NatsServerSource['obtain']): NatsServerSource => ({ name, obtain });
const env = () => ({ TRIVET_CACHE_DIR: join(dir, 'cache'), PATH: join(dir, 'bin') });

test('the sources are tried in the documented order', () => {
  expect(natsServerSources.map(({ name }) => name)).toEqual([
    'PATH',
    'cache',
    'distribution package',
    'Debian sid package',
    'go install',
  ]);
});

test('the first source that has a usable one wins; the rest is not asked', async () => {
  const path = await binary(join(dir, 'nats-server'), '2.15.2');
  const sources = [
    source('empty', async () => absent('nothing here')),
    source('good', async () => found(path)),
    source('never', async () => Promise.reject(new Error('was asked'))),
  ];
  expect(await resolveNatsServer({ env: env(), sources })).toEqual({
    path,
    version: '2.15.2',
    source: 'good',
  });
});

test('every attempt is told, and the last error lists what was tried and why each failed', async () => {
  const old = await binary(join(dir, 'nats-server'), '2.9.10');
  const lines: string[] = [];
  const sources = [
    source('empty', async () => absent('nothing here')),
    source('old', async () => found(old)),
    source('torn', async () => found(join(dir, 'missing'))),
    source('broken', async () => Promise.reject(new Error('the disk is full'))),
  ];
  const attempt = resolveNatsServer({ env: env(), sources, progress: (line) => lines.push(line) });
  await expect(attempt).rejects.toMatchObject({ exitCode: 3 });
  const message = await attempt.catch((error: Error) => error.message);
  for (const part of [
    'empty: nothing here',
    `${old} is 2.9.10`,
    'does not start',
    'broken: the disk is full',
  ])
    expect(message).toContain(part);
  for (const name of ['empty', 'old', 'torn', 'broken'])
    expect(lines).toContain(`nats-server: trying ${name}`);
});

test('on PATH the first one that is new enough is taken, not the first one', async () => {
  await binary(join(dir, 'old', 'nats-server'), '2.12.9');
  const good = await binary(join(dir, 'new', 'nats-server'), '2.14.2');
  const path = `${join(dir, 'old')}:relative:${join(dir, 'new')}`;
  const resolved = await resolveNatsServer({ env: { ...env(), PATH: path }, sources: [onPath] });
  expect(resolved).toEqual({ path: good, version: '2.14.2', source: 'PATH' });
});

test('a nats-server on PATH that is too old is refused by its version', async () => {
  await binary(join(dir, 'bin', 'nats-server'), '2.9.10');
  await expect(resolveNatsServer({ env: env(), sources: [onPath] })).rejects.toThrow(
    'is 2.9.10; it takes 2.12.10',
  );
});

test('of several cached ones the newest is taken, and one that lies about its version is passed over', async () => {
  const cache = join(dir, 'cache', 'nats-server');
  await binary(join(cache, '2.16.0', 'nats-server'), '2.9.10');
  const newest = await binary(join(cache, '2.15.2', 'nats-server'), '2.15.2');
  await binary(join(cache, '2.14.2', 'nats-server'), '2.14.2');
  expect(await resolveNatsServer({ env: env(), sources: [inCache] })).toMatchObject({ path: newest });
});

test('what was obtained once is found in the cache the next time', async () => {
  const made = await binary(join(dir, 'made'), '2.15.2');
  const builder = source('builder', async ({ cache }) => found(await cache.install(made, '2.15.2')));
  const first = await resolveNatsServer({ env: env(), sources: [inCache, builder] });
  expect(first.source).toBe('builder');
  const second = await resolveNatsServer({ env: env(), sources: [inCache, builder] });
  expect(second).toEqual({ ...first, source: 'cache' });
});
