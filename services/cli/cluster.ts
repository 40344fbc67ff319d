import { type CalloutKeys, newCalloutKeys } from '#shared/runtime/auth-callout.ts';
import { systemClock } from '#shared/runtime/clock.ts';
import type { OtlpPorts } from '#shared/runtime/lifecycle.ts';
import { newSigningSeed } from '#shared/runtime/signing-key.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { loginOf, withoutCredentials } from '#shared/runtime/nats-address.ts';
import { openOwnedFolder } from '#shared/runtime/owned-folder.ts';

import {
  type ClusterAddress,
  drainStages,
  entryOfService,
  planCluster,
  type ServiceName,
} from './cluster-plan.ts';
import { type DataFolder, openDataFolder } from './data-folder.ts';
import { isOnPath, natsLogFile, planEmbeddedNats, refuseTakenPorts, serviceUser } from './embedded-nats.ts';
import { checkServer } from './nats-server/server-info.ts';
import { readyLine, readyScreen } from './ready-screen.ts';
import type { StartOptions } from './start-options.ts';
import type { ProcessPlan, ReadyMessage } from './supervised-process.ts';
import { Supervisor } from './supervisor.ts';
import type { Terminal } from './terminal.ts';
import { unknownVariables } from './unknown-variables.ts';

export interface ClusterOptions {
  readonly options: StartOptions;
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  /** The module of each service; another one in tests. */
  readonly entryOf?: (service: ServiceName) => string;
}

/** A whole cluster on one machine: what `npm start` and the demo run. */
export class Cluster {
  readonly #given: ClusterOptions;
  readonly #supervisor: Supervisor;
  #data: DataFolder | undefined;
  #ending = false;
  #remembered: Promise<void> = Promise.resolve();

  constructor(given: ClusterOptions) {
    this.#given = given;
    const { terminal } = given;
    this.#supervisor = new Supervisor(
      {
        output: (name, line) => terminal.log(name, line),
        notice: (level, name, text) => terminal.notice(level, `${name} ${text}`),
        changed: () => this.#remember(),
      },
      systemClock,
    );
  }

  /**
   * Starts everything, waits until all serve, and shows the ready screen.
   * @throws StartRefused (2 or 3) when it cannot run so
   */
  async start(): Promise<void> {
    const { options, terminal, env } = this.#given;
    const report = (line: string) => terminal.notice('info', line);
    for (const name of unknownVariables(env))
      terminal.notice(
        'warn',
        `${name} is no setting, and nobody reads it: docs/configuration.md has them all`,
      );
    // First of all: it waits for what is left of the last run, which may still have the ports.
    this.#data = await openDataFolder(options.data, report);
    await refuseTakenPorts({
      ...(options.natsUrl === undefined ? { '--nats-port': options.natsPort } : {}),
      '--http-port': options.httpPort,
    });
    const token = options.token ?? (await this.#data.secret('token'));
    terminal.hide(token);
    if (options.natsUrl !== undefined && options.requireTokens === 'true')
      throw new StartRefused(
        2,
        '--require-tokens is for the embedded NATS; see deploy/nats for one of your own',
      );
    const keys = options.requireTokens === 'true' ? await calloutKeys(this.#data) : undefined;
    const secrets = {
      session: await this.#data.secret('session-secret'),
      auditKey: await this.#data.secret('audit-key', newSigningSeed),
    };
    for (const secret of [...Object.values(secrets), ...Object.values(keys ?? {})]) terminal.hide(secret);
    const nats = options.natsUrl === undefined ? await this.#startNats(this.#data, keys, report) : undefined;
    const address = nats ?? (await this.#foreignNats(options.natsUrl ?? ''));
    const data = this.#data;
    const plans = planCluster({
      options,
      address: {
        ...address,
        token,
        secrets,
        callout: keys === undefined ? undefined : { keys, natsLogFile: natsLogFile(data.natsPath) },
      },
      pathOf: data.pathOf,
      entryOf: this.#given.entryOf ?? entryOfService,
      env,
    });
    for (const { name } of plans) openOwnedFolder(data.pathOf(name));
    const stopWaiting = this.#sayWhoIsAwaited();
    const ready = await this.#supervisor.run(plans).finally(stopWaiting);
    if (this.#ending) return;
    await this.#show({
      ...address,
      token,
      http: firstGateway(plans, ready),
      otlp: ready.find(({ otlp }) => Object.keys(otlp ?? {}).length > 0)?.otlp ?? {},
      monitor: nats?.monitor,
      data: data.path,
    });
  }

  /** Drains in order: the gateway, the other services, NATS. */
  async drain(): Promise<void> {
    this.#ending = true;
    await this.#supervisor.drain(drainStages);
    await this.#remembered;
    await this.#data?.release();
  }

  /** Ends everything at once. */
  kill(): void {
    this.#ending = true;
    this.#supervisor.kill();
  }

  async #startNats(data: DataFolder, keys: CalloutKeys | undefined, report: (line: string) => void) {
    const plan = await planEmbeddedNats(this.#given.options, data, keys, report);
    const password = await data.secret('nats-password');
    this.#given.terminal.hide(password);
    const [ready] = await this.#supervisor.run([plan]);
    const port = ready?.nats?.port ?? 0;
    const monitor = ready?.nats?.monitorPort;
    return {
      natsUrl: `nats://127.0.0.1:${port}`,
      natsUser: serviceUser,
      natsPassword: password,
      monitor: monitor === undefined ? undefined : `http://127.0.0.1:${monitor}`,
    };
  }

  async #foreignNats(url: string): Promise<Omit<ClusterAddress, 'token' | 'secrets'>> {
    const { options, terminal } = this.#given;
    const login = loginOf({ url, user: options.natsUser, password: options.natsPassword });
    const address = {
      natsUrl: withoutCredentials(url),
      natsUser: login.user,
      natsPassword: login.password,
    };
    for (const warning of await checkServer(url)) terminal.notice('warn', warning);
    // Read here: a start with a nats-server of its own needs no client, which takes a while to read.
    const { checkLogin } = await import('./nats-server/login-check.ts');
    await checkLogin({ url: address.natsUrl, user: address.natsUser, password: address.natsPassword });
    // A client cannot read these two, and the first page of the README rests on them.
    terminal.notice(
      'warn',
      'this NATS is yours: answers mean disk only with `sync_interval: always`, and only permissions as in nats.conf keep others out of the logs',
    );
    return address;
  }

  async #show(shown: {
    readonly natsUrl: string;
    readonly http: string;
    readonly token: string;
    readonly otlp: OtlpPorts;
    readonly monitor: string | undefined;
    readonly data: string;
  }): Promise<void> {
    const { options, terminal, env } = this.#given;
    const pids = (service: ServiceName) => this.#supervisor.pids(service);
    const natsPid = this.#supervisor.natsServerPid();
    const cluster = {
      nats: shown.natsUrl,
      http: shown.http,
      token: shown.token,
      data: shown.data,
      pids: {
        ...(natsPid === undefined ? {} : { 'nats-server': natsPid }),
        'queue-broker': pids('queue-broker'),
        'cache-node': pids('cache-node'),
        'telemetry-collector': pids('telemetry-collector'),
        gateway: pids('gateway'),
        ...(options.requireTokens === 'true' ? { 'auth-callout': pids('auth-callout') } : {}),
      },
    };
    const natsCommand = await isOnPath('nats', env);
    terminal.show(
      readyScreen(cluster, {
        prefix: options.prefix,
        otlp: shown.otlp,
        monitor: shown.monitor,
        natsCommand,
        needsToken: options.requireTokens === 'true',
      }),
      readyLine(cluster),
    );
  }

  #sayWhoIsAwaited(): () => void {
    const { terminal } = this.#given;
    const say = () => {
      terminal.notice('info', `still waiting for ${this.#supervisor.starting().join(', ')}`);
      cancel = systemClock.after(10_000, say);
    };
    let cancel = systemClock.after(10_000, say);
    return () => cancel();
  }

  // One write after the other: the last one has to be the last on the disk, too.
  #remember(): void {
    const before = this.#remembered;
    const write = async () => {
      await before;
      const natsPid = this.#supervisor.natsServerPid();
      await this.#data
        ?.remember([...this.#supervisor.pids(), ...(natsPid === undefined ? [] : [natsPid])])
        // A disk that is full is no reason to end what runs: only the next start after a kill would want the list.
        .catch((error: unknown) =>
          this.#given.terminal.notice('warn', error instanceof Error ? error.message : String(error)),
        );
    };
    this.#remembered = write();
  }
}

const calloutKeys = async (data: DataFolder): Promise<CalloutKeys> => {
  const made = newCalloutKeys();
  return {
    issuerSeed: await data.secret('callout-issuer', () => made.issuerSeed),
    xkeySeed: await data.secret('callout-xkey', () => made.xkeySeed),
  };
};

// Collectors speak HTTP, too, for Prometheus; the address of the cluster is that of its gateway.
function firstGateway(plans: readonly ProcessPlan[], ready: readonly ReadyMessage[]): string {
  const http = ready.find(
    (message, index) => plans[index]?.service === 'gateway' && message.http !== undefined,
  )?.http;
  if (http === undefined) throw new StartRefused(3, 'No gateway said where it serves.');
  return http;
}
