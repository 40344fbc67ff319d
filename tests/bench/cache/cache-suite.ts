import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import { redisServerVersion, versionIn } from '#tests/bench/versions.ts';
import type { Suite } from '#tests/bench/suite.ts';
import { memory } from './memory.ts';
import {
  getBesideKv,
  getBesideRedis,
  getMany,
  getManyBesidePacked,
  getSerially,
  nearHitBesideBento,
  nearHitBesideRedis,
  setBesideKv,
  setBesideRedis,
  zipf,
} from './workloads.ts';

/** How much each workload does in a round. */
export interface CacheSizes {
  readonly keys: number;
  readonly calls: number;
  /** Keys that are got by hundreds. */
  readonly many: number;
  readonly serial: number;
  readonly near: number;
  /** Entries that one process is filled with. */
  readonly entries: number;
}

const fullSizes: CacheSizes = {
  keys: 10_000,
  calls: 200_000,
  many: 500_000,
  serial: 10_000,
  near: 1_000_000,
  entries: 1_500_000,
};

/** The cache beside what people would take otherwise: the same calls, the same machine, by turns. */
export const cacheSuite = (sizes: CacheSizes = fullSizes): Suite => {
  const { keys } = sizes;
  return {
    workloads: [
      getBesideRedis({ keys, calls: sizes.calls }),
      getBesideKv({ keys, calls: sizes.calls }),
      setBesideRedis({ keys, calls: sizes.calls }),
      setBesideKv({ keys, calls: sizes.calls }),
      getMany({ keys, calls: sizes.many }),
      getManyBesidePacked({ keys, calls: sizes.many }),
      getSerially({ keys, calls: sizes.serial }),
      nearHitBesideBento({ keys, calls: sizes.near }),
      nearHitBesideRedis({ keys, calls: sizes.near }),
      zipf({ keys, calls: sizes.near }),
      memory(sizes.entries),
    ],
    versions: async () => ({
      node: process.version,
      'nats-server': (await resolveNatsServer()).version,
      trivet: versionIn('package.json'),
      ioredis: versionIn('node_modules/ioredis/package.json'),
      bentocache: versionIn('node_modules/bentocache/package.json'),
      redis: redisServerVersion(),
    }),
  };
};
