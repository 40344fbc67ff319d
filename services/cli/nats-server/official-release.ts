import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { lastLine, runCommand } from './run-command.ts';
import { absent, found, type NatsServerSource } from './source.ts';

export interface PinnedRelease {
  readonly version: string;
  /** `linux-amd64` → SHA-256 of the .tar.gz, from the SHA256SUMS file of the release. */
  readonly sha256: Readonly<Record<string, string>>;
  /** Default: the publisher's release page. */
  readonly baseUrl?: string;
}

const publisher = 'https://github.com/nats-io/nats-server/releases/download';
const downloadTimeoutMs = 5 * 60_000;
// A release is 6 to 8 MB; what is far beyond that is something else.
const archiveBytesMax = 64 * 1024 * 1024;

/** A release archive of the publisher, taken only when its content is what was pinned. */
export function officialRelease(release: PinnedRelease): NatsServerSource {
  return {
    name: 'official release',
    obtain: async ({ platform, arch, cache, progress }) => {
      const target = `${platform}-${releaseArch(arch)}`;
      const expected = release.sha256[target];
      if (expected === undefined) return absent(`no checksum is pinned for ${target}`);
      const folderName = `nats-server-v${release.version}-${target}`;
      const url = `${release.baseUrl ?? publisher}/v${release.version}/${folderName}.tar.gz`;
      progress(`downloading ${url}`);
      return cache.withWorkFolder(async (folder) => {
        const archive = join(folder, 'release.tar.gz');
        const failure = await download(url, archive);
        if (failure !== undefined) return absent(failure);
        const actual = await sha256Of(archive);
        if (actual !== expected)
          return absent(`${url} is not what was pinned (SHA-256 ${actual}, not ${expected})`);
        const unpack = await runCommand('tar', ['-xzf', archive, '-C', folder], { timeoutMs: 60_000 });
        if (unpack.exitCode !== 0) return absent(`it could not be unpacked: ${lastLine(unpack.stderr)}`);
        return found(await cache.install(join(folder, folderName, 'nats-server'), release.version));
      });
    },
  };
}

async function download(url: string, target: string): Promise<string | undefined> {
  const response = await fetch(url, { signal: AbortSignal.timeout(downloadTimeoutMs) }).catch(
    (error: Error) => error,
  );
  if (response instanceof Error) return `${url} cannot be reached: ${reasonOf(response)}`;
  if (!response.ok) return `${url} answers ${response.status}`;
  const content = await response.bytes();
  if (content.byteLength > archiveBytesMax)
    return `${url} is ${content.byteLength} bytes, which cannot be right`;
  await writeFile(target, content);
  return undefined;
}

// fetch says "fetch failed"; why it did is in the cause.
function reasonOf(error: Error): string {
  return error.cause instanceof Error ? error.cause.message : error.message;
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

function releaseArch(arch: NodeJS.Architecture): string {
  return arch === 'x64' ? 'amd64' : arch;
}
