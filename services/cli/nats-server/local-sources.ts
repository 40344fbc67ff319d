import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

import { runCommand } from './run-command.ts';
import { absent, found, type NatsServerSource } from './source.ts';
import { floorText, isSupportedVersion } from './version.ts';

/** What the machine already has: installed by its package manager, by hand, or by a container image. */
export const onPath: NatsServerSource = {
  name: 'PATH',
  obtain: async ({ env }) => {
    const refused: string[] = [];
    for (const folder of (env['PATH'] ?? '').split(delimiter)) {
      const path = join(folder, 'nats-server');
      // A relative entry of PATH would mean another binary in every folder.
      if (!isAbsolute(folder) || !(await isExecutable(path))) continue;
      const version = await binaryVersion(path);
      if (version !== undefined && isSupportedVersion(version)) return found(path);
      refused.push(`${path} is ${version ?? 'not a nats-server that starts'}`);
    }
    if (refused.length === 0) return absent('there is no nats-server on PATH');
    return absent(`${refused.join(', ')}; it takes ${floorText}`);
  },
};

/** What an earlier start obtained. Newest first. */
export const inCache: NatsServerSource = {
  name: 'cache',
  obtain: async ({ cache }) => {
    for (const { path } of await cache.list()) {
      const version = await binaryVersion(path);
      if (version !== undefined && isSupportedVersion(version)) return found(path);
    }
    return absent(`nothing usable in ${cache.path}`);
  },
};

/** The version a binary says it has, as `2.15.2`; undefined when it does not start (another CPU, a torn file). */
export async function binaryVersion(path: string): Promise<string | undefined> {
  const { exitCode, stdout } = await runCommand(path, ['--version'], { timeoutMs: 10_000 });
  if (exitCode !== 0) return undefined;
  return /nats-server: v(\S+)/.exec(stdout)?.[1];
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
