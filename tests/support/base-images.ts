import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import { lastLine, runCommand } from '#services/cli/nats-server/run-command.ts';

// The images that deploy/ is built on. Where they are not there and cannot be pulled (a machine that reaches package
// registries and no image registry), stand-ins are made under the same names: Debian from its packages, Node from
// the npm package that this project pins, and the nats-server that the other tests run. What they have in common
// with the real ones is what the Dockerfile and docker-compose.yml rely on.

const nodeImage = 'node:24-bookworm-slim';
const natsImage = 'nats:2.15';
const release = 'bookworm';
const npmPackage = 'npm@11.19.1';

const minutesMs = 60_000;

/** Makes sure that both images are there. Takes minutes the first time. */
export async function provideBaseImages(): Promise<void> {
  if (!(await isThere(nodeImage))) await inWorkFolder(makeNodeImage);
  if (!(await isThere(natsImage))) await inWorkFolder(makeNatsImage);
}

async function isThere(image: string): Promise<boolean> {
  const inspected = await runCommand('docker', ['image', 'inspect', image], { timeoutMs: minutesMs });
  if (inspected.exitCode === 0) return true;
  const pulled = await runCommand('docker', ['pull', '--quiet', image], { timeoutMs: 5 * minutesMs });
  return pulled.exitCode === 0;
}

async function makeNodeImage(work: string): Promise<void> {
  const root = join(work, 'root');
  console.log(`${nodeImage} cannot be pulled: making a stand-in from the packages of Debian ${release}`);
  await run('debootstrap', ['--variant=minbase', '--include=ca-certificates', release, root, await mirror()]);
  // What this machine trusts: the registry that it uses may be a mirror with a certificate of its own.
  const certificates = 'etc/ssl/certs/ca-certificates.crt';
  await copyFile(join('/', certificates), join(root, certificates));
  await copyFile(process.execPath, join(root, 'usr/local/bin/node'));
  await addNpm(work, root);
  await run('chroot', [root, 'useradd', '--uid', '1000', '--user-group', '--create-home', 'node']);
  await rm(join(root, 'var/cache/apt'), { recursive: true });
  const archive = join(work, 'root.tar');
  await run('tar', ['--directory', root, '--create', '--file', archive, '.']);
  const environment = `ENV NODE_EXTRA_CA_CERTS=/${certificates}`;
  await run('docker', ['import', '--change', environment, '--change', 'CMD ["node"]', archive, nodeImage]);
}

async function addNpm(work: string, root: string): Promise<void> {
  await run('npm', ['pack', npmPackage, '--pack-destination', work]);
  const home = 'usr/local/lib/node_modules/npm';
  await mkdir(join(root, home), { recursive: true });
  const archive = join(work, `${npmPackage.replace('@', '-')}.tgz`);
  await run('tar', ['--directory', join(root, home), '--strip-components=1', '--extract', '--file', archive]);
  for (const command of ['npm', 'npx'])
    await symlink(`/${home}/bin/${command}-cli.js`, join(root, 'usr/local/bin', command));
}

/** Where apt on this machine takes the packages of Debian itself from. */
async function mirror(): Promise<string> {
  const targets = await run('apt-get', [
    'indextargets',
    '--format',
    '$(CODENAME) $(COMPONENT) $(REPO_URI)',
    'Created-By: Packages',
  ]);
  const line = targets.split('\n').find((one) => one.startsWith(`${release} main `));
  if (line === undefined) throw new Error(`apt on this machine knows no mirror of Debian ${release}`);
  return line.slice(`${release} main `.length).trim();
}

async function makeNatsImage(work: string): Promise<void> {
  const { path, version } = await resolveNatsServer();
  console.log(`${natsImage} cannot be pulled: making a stand-in with nats-server ${version}`);
  await copyFile(path, join(work, 'nats-server'));
  await writeFile(
    join(work, 'Dockerfile'),
    `FROM ${nodeImage}\nCOPY nats-server /nats-server\nENTRYPOINT ["/nats-server"]\n`,
  );
  await run('docker', ['build', '--tag', natsImage, work]);
}

async function inWorkFolder(make: (work: string) => Promise<void>): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'trivet-image-'));
  try {
    await make(work);
  } finally {
    await unmountBelow(work);
    await rm(work, { recursive: true, force: true });
  }
}

/** What debootstrap leaves mounted when it fails, which could not be removed: its own fault would not be heard. */
async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '');
  for (const mounted of mounts.filter((path) => path.startsWith(`${folder}/`)).toReversed())
    await run('umount', ['--lazy', mounted]);
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runCommand(command, args, { timeoutMs: 10 * minutesMs });
  if (exitCode === 0) return stdout;
  throw new Error(`${command} ${args[0]} failed: ${lastLine(stderr) || lastLine(stdout)}`);
}
