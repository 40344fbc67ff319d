import { type ConnectOptions, type Trivet, connect } from '#shared/client/client.ts';
import { type RunningNatsServer, startNatsServer } from '#tests/support/nats-server.ts';
import { type ServiceProcess, natsEnvironment, startService } from '#tests/support/service-process.ts';

/** A client of a real broker on a real nats-server. */
export interface RunningClient {
  readonly server: RunningNatsServer;
  readonly trivet: Trivet;
  /** Another client, as if on another machine. Closed by `stop`. */
  another(options?: ConnectOptions): Promise<Trivet>;
  /** SIGKILL to the broker, and another one in its place. */
  replaceBroker(): Promise<void>;
  stop(): Promise<void>;
}

export async function startClient(): Promise<RunningClient> {
  const server = await startNatsServer();
  let broker = await startBroker(server);
  const trivet = await connect({ url: server.url });
  const clients = [trivet];
  return {
    server,
    trivet,
    another: async (options = {}) => {
      const client = await connect({ url: server.url, ...options });
      clients.push(client);
      return client;
    },
    replaceBroker: async () => {
      await broker.kill();
      broker = await startBroker(server);
    },
    stop: async () => {
      await Promise.all(clients.map((client) => client.close({ timeout: '1s' })));
      await broker.stop();
      await server.stop();
    },
  };
}

const startBroker = (server: RunningNatsServer): Promise<ServiceProcess> =>
  startService('queue-broker', {
    ...natsEnvironment(server),
    TRIVET_NAME: 'queue-broker-1',
    TRIVET_DATA: `${server.dir}/queue-broker-1`,
    TRIVET_PARTITIONS: '2',
  });
