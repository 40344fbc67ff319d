import { randomInt, randomUUID } from 'node:crypto';
import { streamsFor, subjectsFor } from '#shared/protocol/subjects.ts';
import type { Clock } from '#shared/runtime/clock.ts';
import type { Service } from '#shared/runtime/lifecycle.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Nats } from '#shared/runtime/nats.ts';
import { announceService } from '#shared/runtime/service-protocol.ts';
import type { OwnTelemetry } from '#shared/runtime/telemetry.ts';
import { Backends } from './backends.ts';
import { CacheService, cacheQueueGroup } from './cache-service.ts';
import { kvLeaseRecord } from '#shared/runtime/kv-lease-record.ts';
import { NamespaceRecords } from './namespace-records.ts';
import { observeTotals, requestObserver } from './observation.ts';
import { OwnerLease } from '#shared/runtime/owner-lease.ts';
import { RedisConnection } from './redis-connection.ts';

export interface CacheNodeOptions {
  readonly nats: Nats;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: OwnTelemetry;
  readonly service: string;
  readonly version: string;
  /** Name of the process, stable over restarts. */
  readonly name: string;
  readonly prefix: string;
  readonly replicas: number;
  readonly bytesMax: number;
  readonly leaseMs: number;
  /** Folder of this process. */
  readonly data: string;
  readonly redisUrl: string;
  readonly deadlineMs: number;
  /** Ends the process. */
  readonly fail: (error: Error) => void;
}

/** A cache node: the lease says when it answers, the service says what. */
export function cacheNode(options: CacheNodeOptions): Service {
  const { nats, clock, log, telemetry, service, version, name, prefix } = options;
  const subjects = subjectsFor(prefix);
  const endpoints = [
    { name: 'requests', subject: subjects.cacheAll, queueGroup: cacheQueueGroup },
    { name: 'stats', subject: subjects.cacheStats, queueGroup: cacheQueueGroup },
  ];
  const announced = announceService(
    nats,
    { name: service, version, description: 'Cache over NATS', endpoints },
    name,
  );
  const redis = new RedisConnection({ url: options.redisUrl, clock, log });
  const cache = new CacheService({
    nats,
    subjects,
    clock,
    bytesMax: options.bytesMax,
    owns: () => lease.holds(),
    newEpoch: () => randomUUID(),
    random01: Math.random,
    hashSecret: [randomInt(2 ** 32), randomInt(2 ** 32)],
    tiers: {
      node: name,
      log,
      deadlineMs: options.deadlineMs,
      backends: new Backends({ data: options.data, redis, clock, log, prefix }),
      records: new NamespaceRecords(nats, {
        bucket: streamsFor(prefix).cacheNamespaces,
        replicas: options.replicas,
      }),
    },
    observe: requestObserver(announced, telemetry, clock),
  });
  observeTotals(cache, telemetry);
  let begun: Promise<void> | undefined;
  const lease = new OwnerLease({
    record: kvLeaseRecord(nats, { bucket: streamsFor(prefix).cacheNodes, replicas: options.replicas }),
    clock,
    self: { node: name, instance: randomUUID() },
    leaseMs: options.leaseMs,
    gained: () => {
      log.info('this node owns the cache');
      begun = cache.begin();
    },
    lost: (by) => {
      log.warn({ owner: by?.node }, 'this node no longer owns the cache');
      cache.cease();
      if (by?.node === name) options.fail(new Error(`another process runs under the name ${name}`));
    },
    failed: (error) => log.warn({ err: error }, 'the lease on the cache was not read or renewed'),
  });
  return {
    recover: () => Promise.resolve(),
    serve: async () => {
      await lease.start();
      await begun;
      // The server has heard of the subscriptions before anybody hears that this node is ready.
      await nats.connection.flush();
      return {};
    },
    drain: async () => {
      announced.stop();
      await cache.drain();
      await lease.release();
      redis.close();
    },
  };
}
