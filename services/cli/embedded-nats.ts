import { access, constants, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { type CalloutKeys, publicCalloutKeys } from '#shared/runtime/auth-callout.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { openOwnedFolder } from '#shared/runtime/owned-folder.ts';

import type { DataFolder } from './data-folder.ts';
import { type NatsServerLaunch, serviceUser } from './nats-server/launch.ts';
import { renderConfig } from './nats-server/render-config.ts';
import { resolveNatsServer } from './nats-server/resolve.ts';
import type { StartOptions } from './start-options.ts';
import type { ProcessPlan, ReadyMessage } from './supervised-process.ts';

const repositoryConfig = join(import.meta.dirname, '..', '..', 'nats.conf');
const usualMonitorPort = 8222;

export { serviceUser };

/**
 * What it takes to run a nats-server for this cluster alone: the binary, its configuration, its folder and password.
 * @param keys of the auth callout, where tokens are required
 * @throws StartRefused (3) when there is no usable nats-server
 */
export async function planEmbeddedNats(
  options: StartOptions,
  data: DataFolder,
  keys: CalloutKeys | undefined,
  progress: (line: string) => void,
): Promise<ProcessPlan> {
  const { path: binary } = await resolveNatsServer({ progress });
  const portsPath = join(data.natsPath, 'ports');
  openOwnedFolder(portsPath);
  const launch: NatsServerLaunch = {
    binary,
    configPath: await configFor(options, data.natsPath),
    storePath: join(data.natsPath, 'store'),
    port: options.natsPort,
    monitorPort: await monitorPort(options.natsPort),
    servicePassword: await data.secret('nats-password'),
    portsPath,
    ...(keys === undefined
      ? {}
      : { callout: { ...publicCalloutKeys(keys), logFile: natsLogFile(data.natsPath) } }),
  };
  return {
    name: 'nats-server',
    service: 'nats-server',
    entry: join(import.meta.dirname, 'nats-keeper.ts'),
    env: { ...process.env, TRIVET_NATS_LAUNCH: JSON.stringify(launch) },
    envAfter: (ready) => ({ TRIVET_NATS_LAUNCH: JSON.stringify(withPortsOf(launch, ready)) }),
  };
}

/** Clients reconnect to the address that they know, so a restart has to come back to it. */
function withPortsOf(launch: NatsServerLaunch, { nats }: ReadyMessage): NatsServerLaunch {
  if (nats === undefined) return launch;
  return { ...launch, port: nats.port, monitorPort: nats.monitorPort ?? 0 };
}

/** Where nats-server writes when the auth callout reads along. */
export const natsLogFile = (natsPath: string): string => join(natsPath, 'nats-server.log');

async function configFor(options: StartOptions, natsPath: string): Promise<string> {
  const config = await readFile(repositoryConfig, 'utf8');
  const requireTokens = options.requireTokens === 'true';
  const rendered = renderConfig(config, { prefix: options.prefix, requireTokens });
  if (rendered === config) return repositoryConfig;
  const path = join(natsPath, 'nats.conf');
  await writeFile(path, rendered);
  return path;
}

// Who asks for any free port (a test, a demo) runs beside another cluster that has the usual one.
async function monitorPort(natsPort: number): Promise<number> {
  return natsPort !== 0 && (await isPortFree(usualMonitorPort)) ? usualMonitorPort : 0;
}

/**
 * @param ports by the option that chooses another one
 * @throws StartRefused (2), which names all that are taken; who asked for any free port is never refused
 */
export async function refuseTakenPorts(ports: Readonly<Record<string, number>>): Promise<void> {
  const taken: string[] = [];
  for (const [option, port] of Object.entries(ports)) {
    if (port === 0 || (await isPortFree(port))) continue;
    taken.push(`Port ${port} is taken by another program. Choose another one with ${option} (0: any).`);
  }
  if (taken.length > 0) throw new StartRefused(2, taken.join(' '));
}

function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.on('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1' }, () => probe.close(() => resolve(true)));
  });
}

/** Whether a command is there for the user to type. */
export async function isOnPath(command: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  for (const folder of (env['PATH'] ?? '').split(':')) {
    const there = await access(join(folder, command), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (there) return true;
  }
  return false;
}
