import { systemClock } from '#shared/runtime/clock.ts';
import { readConfig } from '#shared/runtime/config.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { type Service, runProcess } from '#shared/runtime/lifecycle.ts';
import { type Log, createLog } from '#shared/runtime/log.ts';
import { connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import { announceService } from '#shared/runtime/service-protocol.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { tokenAuthentication } from './authentication.ts';
import { gatewayService } from './gateway-service.ts';
import { gatewaySettings } from './settings.ts';

const service = 'trivet-gateway';
const version = '0.1.0';

const read = readConfig(gatewaySettings, { env: process.env, file: process.env['TRIVET_CONFIG'] });
const log =
  'config' in read ? createLog(read.config.name, read.config.logLevel) : createLog('gateway', 'info');

runProcess({
  log,
  start: () => {
    if ('faults' in read) throw new StartRefused(2, read.faults.join('; '));
    return startGateway(read.config, log);
  },
});

type Config = Extract<typeof read, { readonly config: unknown }>['config'];

async function startGateway(config: Config, ownLog: Log): Promise<Service> {
  const nats = await connectNats({
    url: config.natsUrl,
    user: config.natsUser,
    password: config.natsPassword,
    name: config.name,
    inboxPrefix: serviceInboxPrefix,
    log: ownLog,
  });
  const telemetry = startTelemetry({
    service,
    instance: config.name,
    version,
    otlpEndpoint: config.otlpEndpoint,
  });
  const gateway = gatewayService({
    nats,
    prefix: config.prefix,
    clock: systemClock,
    log: ownLog,
    telemetry,
    authenticate: tokenAuthentication(config.token),
    host: config.httpHost,
    port: config.httpPort,
    connectionsMax: config.httpConnectionsMax,
  });
  const announced = announceService(
    nats,
    { name: service, version, description: 'HTTP in front of Trivet', endpoints: [] },
    config.name,
  );
  return {
    recover: () => gateway.recover(),
    serve: () => gateway.serve(),
    drain: async () => {
      announced.stop();
      await gateway.drain();
      await telemetry.shutdown();
      await nats.connection.drain();
    },
  };
}
