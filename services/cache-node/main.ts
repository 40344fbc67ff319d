import { systemClock } from '#shared/runtime/clock.ts';
import { runService } from '#shared/runtime/service-process.ts';
import { version } from '#shared/runtime/version.ts';
import { cacheNode } from './cache-node.ts';
import { cacheSettings } from './settings.ts';

const service = 'trivet-cache';

runService({
  service,
  version,
  settings: cacheSettings,
  build: ({ config, nats, telemetry, log, ending }) =>
    cacheNode({
      nats,
      clock: systemClock,
      log,
      telemetry,
      service,
      version,
      name: config.name,
      prefix: config.prefix,
      replicas: config.replicas,
      bytesMax: config.cacheBytesMax,
      leaseMs: config.cacheLeaseMs,
      returnMs: config.cacheReturnMs,
      handOverMsMax: config.cacheHandOverMs,
      data: config.data,
      redisUrl: config.redisUrl,
      deadlineMs: config.cacheDeadlineMs,
      fail: (error) => ending.fail(error),
    }),
});
