import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { requestReply } from '#shared/client/request.ts';
import { type Subjects, streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { CollectorStats } from '#shared/protocol/telemetry-replies.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type Nats, connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

/** A nats-server with collectors on it, and two clients: a user's and one with the services' rights. */
export class CollectorCluster {
  readonly subjects: Subjects = subjectsFor('trivet');
  readonly server: RunningNatsServer;
  readonly nats: Nats;
  readonly service: Nats;
  readonly #data: string;
  readonly #collectors = new Map<string, ServiceProcess>();

  private constructor(server: RunningNatsServer, nats: Nats, service: Nats, data: string) {
    this.server = server;
    this.nats = nats;
    this.service = service;
    this.#data = data;
  }

  static async start(): Promise<CollectorCluster> {
    const server = await startNatsServer();
    const nats = await connectNats({ url: server.url, name: 'test' });
    const { user, password } = server;
    const inboxPrefix = serviceInboxPrefix;
    const service = await connectNats({ url: server.url, name: 'test-service', user, password, inboxPrefix });
    const data = await mkdtemp(join(tmpdir(), 'trivet-collector-'));
    return new CollectorCluster(server, nats, service, data);
  }

  /** Starts a collector; the one of that name that ran before left it its data. */
  async startCollector(
    name = 'telemetry-collector-1',
    env: Readonly<Record<string, string>> = {},
  ): Promise<ServiceProcess> {
    const process = await startService('telemetry-collector', {
      ...natsEnvironment(this.server),
      TRIVET_NAME: name,
      TRIVET_DATA: join(this.#data, name),
      TRIVET_TELEMETRY_FLUSH_MS: '20',
      // The usual ports belong to one collector of a machine: tests that need them name free ones.
      TRIVET_OTLP_HTTP_PORT: 'off',
      TRIVET_OTLP_GRPC_PORT: 'off',
      ...env,
    });
    this.#collectors.set(name, process);
    return process;
  }

  async ask(query: string, body: unknown = {}): Promise<unknown> {
    const reply = await requestReply(this.nats, this.subjects.telemetryQuery(query), body);
    if (!reply.ok) throw new Error(`${reply.error.code}: ${reply.error.message}`);
    return reply.value;
  }

  async stats(): Promise<CollectorStats> {
    const checked = validator(CollectorStats)(await this.ask('stats'));
    if (!checked.ok) throw new Error(checked.error.message);
    return checked.value;
  }

  /** Messages that the stream of records holds: what is not acknowledged. */
  async streamMessages(): Promise<number> {
    const manager = await this.service.manager();
    const info = await manager.streams.info(streamsFor('trivet').telemetry);
    return info.state.messages;
  }

  /** Every dead letter: its headers by name, and its body. */
  async deadLetters(): Promise<
    readonly { readonly reason: string; readonly message: string; readonly body: string }[]
  > {
    const manager = await this.service.manager();
    const name = streamsFor('trivet').telemetryDead;
    const { state } = await manager.streams.info(name);
    const sequences = Array.from({ length: state.messages }, (_, index) => state.first_seq + index);
    return Promise.all(
      sequences.map(async (seq) => {
        const message = await manager.streams.getMessage(name, { seq });
        return {
          reason: message?.header.get('Trivet-Reason') ?? '',
          message: message?.header.get('Trivet-Message') ?? '',
          body: Buffer.from(message?.data ?? []).toString('utf8'),
        };
      }),
    );
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#collectors.values()].map((one) => one.kill()));
    await this.nats.connection.close();
    await this.service.connection.close();
    await this.server.stop();
    await rm(this.#data, { recursive: true, force: true });
  }
}

/** Asks until the answer is as wanted; rejects with the last answer when it is not within `msMax`. */
export async function until<T>(
  ask: () => Promise<T> | T,
  isWanted: (answer: T) => boolean,
  msMax = 20_000,
): Promise<T> {
  const endMs = performance.now() + msMax;
  let answer = await ask();
  while (!isWanted(answer)) {
    if (performance.now() > endMs) throw new Error(`not within ${msMax} ms: ${JSON.stringify(answer)}`);
    await delay(25);
    answer = await ask();
  }
  return answer;
}
