import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type AptSource, debianMirrors, parseAptSources } from './apt-sources.ts';
import { binaryVersion } from './local-sources.ts';
import { lastLine, runCommand } from './run-command.ts';
import { absent, found, type NatsServerSource, type SourceContext, type SourceResult } from './source.ts';
import { floorText, isSupportedVersion } from './version.ts';

// The package is downloaded and unpacked, never installed: no root is needed and nothing on the machine changes.
// apt checks its signature chain (Release file → package list → package) with the keys that Debian installed.

const packageName = 'nats-server';
const queryTimeoutMs = 60_000;
const downloadTimeoutMs = 10 * 60_000;

/** What the configured release of the distribution has; Debian bookworm's 2.9, for one, is too old. */
export const distributionPackage: NatsServerSource = {
  name: 'distribution package',
  obtain: async (context) =>
    (await aptIsMissing(context)) ?? obtainCandidate(context, [], 'this distribution'),
};

/** Debian's development release, through a package list of its own; for a Debian machine whose release is too old. */
export const debianSidPackage: NatsServerSource = {
  name: 'Debian sid package',
  obtain: async (context) => {
    const missing = await aptIsMissing(context);
    if (missing !== undefined) return missing;
    const keyring = debianKeyrings.find((path) => existsSync(path));
    if (keyring === undefined) return absent('the keys of Debian are not installed (debian-archive-keyring)');
    const [mirror] = debianMirrors(await configuredSources(), await releaseCodename());
    if (mirror === undefined) return absent('apt on this machine has no mirror of Debian');
    return context.cache.withWorkFolder(async (folder) => {
      const config = await writeSidConfiguration(folder, mirror, keyring);
      context.progress(`reading the package list of Debian sid from ${mirror} (about 10 MB)`);
      const update = await runCommand('apt-get', ['-q', '-c', config, 'update'], {
        timeoutMs: downloadTimeoutMs,
        env: plainLanguage(context.env),
      });
      if (update.exitCode !== 0) return absent(`apt-get update failed: ${lastLine(update.stderr)}`);
      return obtainCandidate(context, ['-c', config], 'Debian sid');
    });
  },
};

const debianKeyrings = [
  '/usr/share/keyrings/debian-archive-keyring.pgp',
  '/usr/share/keyrings/debian-archive-keyring.gpg',
];

async function aptIsMissing({ platform, env }: SourceContext): Promise<SourceResult | undefined> {
  if (platform !== 'linux') return absent('apt is for Debian and its relatives');
  for (const command of ['apt-get', 'apt-cache', 'dpkg-deb']) {
    const { exitCode } = await runCommand(command, ['--version'], { timeoutMs: 10_000, env });
    if (exitCode !== 0) return absent(`there is no ${command} on this machine`);
  }
  return undefined;
}

async function obtainCandidate(
  { env, cache, progress }: SourceContext,
  aptOptions: readonly string[],
  where: string,
): Promise<SourceResult> {
  const policy = await runCommand('apt-cache', [...aptOptions, 'policy', packageName], {
    timeoutMs: queryTimeoutMs,
    env: plainLanguage(env),
  });
  const candidate = /^\s*Candidate:\s*(\S+)/m.exec(policy.stdout)?.[1];
  if (candidate === undefined || candidate === '(none)')
    return absent(`${where} has no package ${packageName} (or apt has no package lists here)`);
  if (!isSupportedVersion(candidate)) return absent(`${where} has ${candidate}; it takes ${floorText}`);
  progress(`downloading ${packageName} ${candidate} from ${where}`);
  return cache.withWorkFolder(async (folder) => {
    const download = await runCommand(
      'apt-get',
      ['-q', ...aptOptions, 'download', `${packageName}=${candidate}`],
      { timeoutMs: downloadTimeoutMs, cwd: folder, env: plainLanguage(env) },
    );
    if (download.exitCode !== 0) return absent(`the download failed: ${lastLine(download.stderr)}`);
    const archive = (await readdir(folder)).find((name) => name.endsWith('.deb'));
    if (archive === undefined) return absent('apt-get downloaded nothing');
    const unpacked = join(folder, 'unpacked');
    const unpack = await runCommand('dpkg-deb', ['-x', join(folder, archive), unpacked], {
      timeoutMs: queryTimeoutMs,
      env,
    });
    if (unpack.exitCode !== 0) return absent(`it could not be unpacked: ${lastLine(unpack.stderr)}`);
    const binary = join(unpacked, 'usr', 'sbin', packageName);
    const version = await binaryVersion(binary);
    // A package of a newer release may need a newer C library than this machine has.
    if (version === undefined) return absent(`the binary of ${candidate} does not start on this machine`);
    return found(await cache.install(binary, version));
  });
}

async function writeSidConfiguration(folder: string, mirror: string, keyring: string): Promise<string> {
  const place = (name: string) => join(folder, name);
  for (const name of ['lists/partial', 'archives/partial', 'preferences', 'parts'])
    await mkdir(place(name), { recursive: true });
  await writeFile(
    place('sid.sources'),
    `Types: deb\nURIs: ${mirror}\nSuites: sid\nComponents: main\nSigned-By: ${keyring}\nTargets: Packages\n`,
  );
  const settings: Readonly<Record<string, string>> = {
    'Dir::Etc::sourcelist': place('sid.sources'),
    'Dir::Etc::sourceparts': place('parts'),
    // Neither a pin against sid nor a default release of the machine may keep this one package away.
    'Dir::Etc::preferences': place('preferences/none'),
    'Dir::Etc::preferencesparts': place('preferences'),
    'APT::Default-Release': '',
    'Dir::State::lists': place('lists'),
    'Dir::Cache': folder,
    'Acquire::Languages': 'none',
    // A mirror that stands still is still signed, and the floor of versions keeps old packages out.
    'Acquire::Check-Valid-Until': 'false',
    'Acquire::Retries': '3',
    'Acquire::http::Timeout': '30',
    // The folder belongs to this user; root's apt would drop to a user who may not enter it.
    'APT::Sandbox::User': 'root',
  };
  // What the machine does after its own updates (clean caches, refresh a software centre) is none of our business.
  const hooks = ['Pre-Invoke', 'Post-Invoke', 'Post-Invoke-Success'].map(
    (hook) => `#clear APT::Update::${hook};`,
  );
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  await writeFile(place('apt.conf'), `${[...hooks, ...lines].join('\n')}\n`);
  return place('apt.conf');
}

async function configuredSources(): Promise<readonly AptSource[]> {
  const folder = '/etc/apt/sources.list.d';
  const names = (await readdir(folder).catch(() => []))
    .filter((name) => /\.(list|sources)$/.test(name))
    .sort();
  const files = ['/etc/apt/sources.list', ...names.map((name) => join(folder, name))];
  const sources = await Promise.all(
    files.map(async (file) => parseAptSources(file, await readFile(file, 'utf8').catch(() => ''))),
  );
  return sources.flat();
}

async function releaseCodename(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? 'stable';
}

// apt's answers are read, so they must not be translated.
function plainLanguage(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...env, LC_ALL: 'C', LANG: 'C', DEBIAN_FRONTEND: 'noninteractive' };
}
