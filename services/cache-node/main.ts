import { systemClock } from '#shared/runtime/clock.ts';
import { readConfig } from '#shared/runtime/config.ts';
import { StartRefused } from '#shared/runtime/exit-codes.ts';
import { type Ending, type Service, runProcess } from '#shared/runtime/lifecycle.ts';
import { createLog } from '#shared/runtime/log.ts';
import { connectNats, serviceInboxPrefix } from '#shared/runtime/nats.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';
import { cacheNode } from './cache-node.ts';
import { cacheSettings } from './settings.ts';

const service = 'trivet-cache';
const version = '0.1.0';

const read = readConfig(cacheSettings, { env: process.env, file: process.env['TRIVET_CONFIG'] });
const log =
  'config' in read ? createLog(read.config.name, read.config.logLevel) : createLog('cache-node', 'info');

runProcess({
  log,
  start: (ending) => {
    if ('faults' in read) throw new StartRefused(2, read.faults.join('; '));
    return startCacheNode(read.config, ending);
  },
});

type Config = Extract<typeof read, { readonly config: unknown }>['config'];

async function startCacheNode(config: Config, ending: Ending): Promise<Service> {
  const { name, prefix, replicas } = config;
  const nats = await connectNats({
    url: config.natsUrl,
    user: config.natsUser,
    password: config.natsPassword,
    name,
    inboxPrefix: serviceInboxPrefix,
    log,
  });
  const { otlpEndpoint } = config;
  const telemetry = startTelemetry({ service, instance: name, version, otlpEndpoint });
  const node = cacheNode({
    nats,
    clock: systemClock,
    log,
    telemetry,
    service,
    version,
    name,
    prefix,
    replicas,
    bytesMax: config.cacheBytesMax,
    leaseMs: config.cacheLeaseMs,
    fail: (error) => ending.fail(error),
  });
  return {
    recover: () => node.recover(),
    serve: () => node.serve(),
    drain: async () => {
      await node.drain();
      await telemetry.shutdown();
      await nats.connection.drain();
    },
  };
}
