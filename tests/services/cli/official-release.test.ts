import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { officialRelease } from '#services/cli/nats-server/official-release.ts';
import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';

// The checksum of a download, against a publisher of our own on loopback.

const version = '2.15.2';
const target = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`;
let dir: string;
let publisher: Server;
let baseUrl: string;
let archive: Buffer;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'trivet-release-'));
  const name = `nats-server-v${version}-${target}`;
  await mkdir(join(dir, name));
  await writeFile(join(dir, name, 'nats-server'), `#!/bin/sh\necho "nats-server: v${version}"\n`);
  await chmod(join(dir, name, 'nats-server'), 0o755);
  await promisify(execFile)('tar', ['-czf', join(dir, 'a.tar.gz'), '-C', dir, name]);
  archive = await readFile(join(dir, 'a.tar.gz'));
  publisher = createServer((request, response) => {
    const known = request.url === `/v${version}/${name}.tar.gz`;
    response.statusCode = known ? 200 : 404;
    response.end(known ? archive : '');
  });
  await new Promise<void>((resolve) => publisher.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(publisher.address() as AddressInfo).port}`;
});

afterAll(async () => {
  publisher.close();
  await rm(dir, { recursive: true, force: true });
});

const sha256 = () => createHash('sha256').update(archive).digest('hex');
const cache = (name: string) => join(dir, 'caches', name);
const resolveFrom = (name: string, release: Parameters<typeof officialRelease>[0]) =>
  resolveNatsServer({ env: { TRIVET_CACHE_DIR: cache(name) }, sources: [officialRelease(release)] });

test('a release whose content is what was pinned is unpacked into the cache', async () => {
  const resolved = await resolveFrom('good', { version, baseUrl, sha256: { [target]: sha256() } });
  expect(resolved).toEqual({
    path: join(cache('good'), 'nats-server', version, 'nats-server'),
    version,
    source: 'official release',
  });
});

test('a release with other content is refused and leaves nothing in the cache', async () => {
  const pinned = { version, baseUrl, sha256: { [target]: '0'.repeat(64) } };
  await expect(resolveFrom('other', pinned)).rejects.toThrow('is not what was pinned');
  expect(await readdir(join(cache('other'), 'nats-server'))).toEqual([]);
});

test('a machine for which no checksum is pinned downloads nothing', async () => {
  const pinned = { version, baseUrl: 'http://127.0.0.1:1', sha256: {} };
  await expect(resolveFrom('unpinned', pinned)).rejects.toThrow('no checksum is pinned');
});

test('a release that is not there, or a publisher that does not answer, is a reason and not a crash', async () => {
  const pinned = { version: '9.9.9', baseUrl, sha256: { [target]: sha256() } };
  await expect(resolveFrom('missing', pinned)).rejects.toThrow('answers 404');
  const unreachable = { ...pinned, baseUrl: 'http://127.0.0.1:1' };
  await expect(resolveFrom('unreachable', unreachable)).rejects.toThrow('cannot be reached');
});
