import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sleep, systemClock } from '#shared/runtime/clock.ts';

/** The user of the services in nats.conf. */
export const serviceUser = 'trivet-service';

export interface NatsServerLaunch {
  readonly binary: string;
  /** nats.conf or a copy of it. */
  readonly configPath: string;
  /** Folder for the streams; made by nats-server. */
  readonly storePath: string;
  /** 0 means any free port. */
  readonly port: number;
  /** 0 means any free port. */
  readonly monitorPort: number;
  readonly servicePassword: string;
  /** Where tokens are required: the public keys of the auth callout, and the log file that it reads. */
  readonly callout?: { readonly issuer: string; readonly xkey: string; readonly logFile: string };
  /** An existing folder where nats-server writes down which ports it got. */
  readonly portsPath: string;
}

export function launchArguments(launch: NatsServerLaunch): string[] {
  return ['-c', launch.configPath, '--ports_file_dir', launch.portsPath];
}

/**
 * The variables that nats.conf names. nats-server reads their values as it reads the file, so a string is quoted:
 * a password such as `7e9` would otherwise become a number, a folder with a blank in its name a syntax error.
 */
export function launchEnvironment(launch: NatsServerLaunch): Record<string, string> {
  return {
    TRIVET_NATS_PORT: String(launch.port === 0 ? -1 : launch.port),
    TRIVET_NATS_MONITOR: quoted(`127.0.0.1:${launch.monitorPort === 0 ? -1 : launch.monitorPort}`),
    TRIVET_NATS_STORE: quoted(launch.storePath),
    TRIVET_NATS_PASSWORD: quoted(launch.servicePassword),
    ...(launch.callout === undefined
      ? {}
      : {
          TRIVET_NATS_ISSUER: quoted(launch.callout.issuer),
          TRIVET_NATS_XKEY: quoted(launch.callout.xkey),
          TRIVET_NATS_LOG: quoted(launch.callout.logFile),
        }),
  };
}

export interface NatsServerPorts {
  readonly port: number;
  readonly monitorPort: number | undefined;
}

/**
 * Waits until the nats-server with this pid serves, and says on which ports: it writes its ports file when it
 * accepts connections, which after an unclean stop is after JetStream has recovered its streams.
 * @param gone says why waiting is pointless (the process ended), or undefined
 */
export async function waitForPorts(options: {
  readonly launch: NatsServerLaunch;
  readonly pid: number;
  readonly timeoutMs: number;
  readonly gone: () => string | undefined;
}): Promise<NatsServerPorts> {
  const file = join(options.launch.portsPath, `${basename(options.launch.binary)}_${options.pid}.ports`);
  const deadline = systemClock.monotonicMs() + options.timeoutMs;
  while (systemClock.monotonicMs() < deadline) {
    const ports = parsePorts(await readFile(file, 'utf8').catch(() => ''));
    if (ports !== undefined) return ports;
    const reason = options.gone();
    if (reason !== undefined) throw new Error(reason);
    await sleep(systemClock, 15);
  }
  throw new Error(`nats-server did not serve within ${options.timeoutMs / 1000} s`);
}

function parsePorts(text: string): NatsServerPorts | undefined {
  // The file may be read while it is being written; a torn one has no closing brace yet.
  if (!text.trimEnd().endsWith('}')) return undefined;
  const { nats, monitoring } = JSON.parse(text) as { nats?: string[]; monitoring?: string[] };
  const port = portOf(nats?.[0]);
  return port === undefined ? undefined : { port, monitorPort: portOf(monitoring?.[0]) };
}

function portOf(url: string | undefined): number | undefined {
  return url === undefined ? undefined : Number(new URL(url).port);
}

function quoted(text: string): string {
  return JSON.stringify(text);
}
