import { setTimeout as delay } from 'node:timers/promises';
import { requestReply } from '#shared/client/request.ts';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import { CollectorStats } from '#shared/protocol/telemetry-replies.ts';
import { validator } from '#shared/protocol/validation.ts';
import { type Nats, connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

// Publishes that wait for their acknowledgement at once.
const inFlightMax = 64;
const waitMsMax = 300_000;

/** Where the collector's CPU profile goes, for who looks for what takes its time. */
const profileFolder = process.env['TRIVET_BENCH_PROFILE'];

/** A nats-server with one collector on it, as `npm start` sets them up. */
export class CollectorSide {
  readonly server: RunningNatsServer;
  readonly collector: ServiceProcess;
  readonly #user: Nats;
  readonly #service: Nats;

  private constructor(parts: {
    server: RunningNatsServer;
    collector: ServiceProcess;
    user: Nats;
    service: Nats;
  }) {
    this.server = parts.server;
    this.collector = parts.collector;
    this.#user = parts.user;
    this.#service = parts.service;
  }

  static async start(env: Readonly<Record<string, string>>): Promise<CollectorSide> {
    const server = await startNatsServer();
    const collector = await startService('telemetry-collector', {
      ...natsEnvironment(server),
      TRIVET_NAME: 'telemetry-collector-1',
      TRIVET_DATA: `${server.dir}/telemetry-collector-1`,
      TRIVET_OTLP_HTTP_PORT: 'off',
      TRIVET_OTLP_GRPC_PORT: 'off',
      OTEL_SDK_DISABLED: 'true',
      ...(profileFolder === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profileFolder}` }),
      ...env,
    });
    const user = await connectNats({ url: server.url, name: 'bench' });
    const service = await connectNats({
      url: server.url,
      name: 'bench-service',
      user: server.user,
      password: server.password,
      inboxPrefix: serviceInboxPrefix,
    });
    return new CollectorSide({ server, collector, user, service });
  }

  /** Fills the stream while the collector is frozen. */
  async fill(subject: string, count: number, bodyOf: (index: number) => Uint8Array): Promise<void> {
    process.kill(this.collector.pid, 'SIGSTOP');
    try {
      for (let at = 0; at < count; at += inFlightMax) {
        const length = Math.min(inFlightMax, count - at);
        await Promise.all(
          Array.from({ length }, (_, index) => this.#user.js.publish(subject, bodyOf(at + index))),
        );
      }
    } finally {
      process.kill(this.collector.pid, 'SIGCONT');
    }
  }

  async publish(subject: string, body: Buffer): Promise<void> {
    await this.#user.js.publish(subject, body);
  }

  /** Resolves when every message is acknowledged. */
  async drained(): Promise<void> {
    const manager = await this.#service.manager();
    const endMs = performance.now() + waitMsMax;
    while ((await manager.streams.info(streamsFor('trivet').telemetry)).state.messages > 0) {
      if (performance.now() > endMs) throw new Error('the stream was not emptied');
      await delay(25);
    }
  }

  async stats(): Promise<CollectorStats> {
    const checked = validator(CollectorStats)(await this.ask('stats', {}));
    if (!checked.ok) throw new Error(checked.error.message);
    return checked.value;
  }

  async ask(query: string, body: object): Promise<unknown> {
    const reply = await requestReply(this.#user, subjectsFor('trivet').telemetryQuery(query), body);
    if (!reply.ok) throw new Error(reply.error.message);
    return reply.value;
  }

  /** Ends it in order, so that a profile of it is written. */
  async stop(): Promise<void> {
    await this.collector.stop();
    await this.#user.connection.close();
    await this.#service.connection.close();
    await this.server.stop();
  }
}
