import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { cacheRoot } from './cache-root.ts';
import type { CacheFolder } from './source.ts';
import { compareVersions, parseVersion } from './version.ts';

const binaryName = 'nats-server';

export const cachePath = (env: NodeJS.ProcessEnv): string => join(cacheRoot(env), 'nats-server');

export function openCacheFolder(path: string): CacheFolder {
  return {
    path,
    list: () => listVersions(path),
    withWorkFolder: async (fill) => {
      await mkdir(path, { recursive: true });
      // Inside the cache, so that the final rename stays on one file system and is atomic.
      const folder = await mkdtemp(join(path, '.work-'));
      try {
        return await fill(folder);
      } finally {
        await removeTree(folder);
      }
    },
    install: (binary, version) => install(path, binary, version),
  };
}

/** Newest first. */
async function listVersions(path: string): Promise<readonly { version: string; path: string }[]> {
  const names = await readdir(path).catch(() => []);
  return names
    .flatMap((name) => {
      const version = parseVersion(name);
      const binary = join(path, name, binaryName);
      return version !== undefined && existsSync(binary) ? [{ version, name, binary }] : [];
    })
    .sort((left, right) => compareVersions(right.version, left.version))
    .map(({ name, binary }) => ({ version: name, path: binary }));
}

async function install(path: string, binary: string, version: string): Promise<string> {
  const folder = join(path, version);
  await mkdir(folder, { recursive: true });
  const target = join(folder, binaryName);
  const staged = join(folder, `.${binaryName}-${process.pid}`);
  await copyFile(binary, staged);
  await chmod(staged, 0o755);
  await rename(staged, target);
  return target;
}

// Go makes its module cache read-only; removing it needs the right to write to its folders first.
async function removeTree(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true }).catch(async () => {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755);
    }
    await rm(folder, { recursive: true, force: true });
  });
}
