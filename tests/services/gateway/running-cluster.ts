import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ServiceName,
  type ServiceProcess,
  natsEnvironment,
  startService,
} from '#tests/support/service-process.ts';
import { type RunningGateway, startGateway } from './running-gateway.ts';

export interface RunningCluster {
  readonly gateway: RunningGateway;
  readonly services: readonly ServiceProcess[];
  stop(): Promise<void>;
}

/** A gateway and one of each service that it asks, each a process of its own. */
export async function startCluster(env: Readonly<Record<string, string>> = {}): Promise<RunningCluster> {
  const data = await mkdtemp(join(tmpdir(), 'trivet-gateway-'));
  const gateway = await startGateway(env);
  const start = (name: ServiceName) =>
    startService(name, {
      ...natsEnvironment(gateway.nats),
      TRIVET_NAME: `${name}-1`,
      TRIVET_DATA: join(data, name),
      TRIVET_PARTITIONS: '4',
      TRIVET_METRICS_PORT: '0',
      TRIVET_OTLP_HTTP_PORT: '0',
      TRIVET_OTLP_GRPC_PORT: '0',
    });
  const names = ['queue-broker', 'cache-node', 'telemetry-collector'] as const;
  const services = await Promise.all(names.map(start));
  return {
    gateway,
    services,
    stop: async () => {
      await Promise.all(services.map((service) => service.stop()));
      await gateway.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}
