import { resolveNatsServer } from '#services/cli/nats-server/resolve.ts';
import type { Suite } from '#tests/bench/suite.ts';
import { redisServerVersion, versionIn } from '#tests/bench/versions.ts';
import { type BacklogSizes, backlog } from './backlog.ts';
import { type BlockedSizes, blockedGroups } from './blocked-groups.ts';
import { enqueueBatches, enqueueSingly } from './enqueue.ts';
import { pickupLatency } from './pickup-latency.ts';
import { processItems, workerProcesses } from './process.ts';

/** How much each workload does in a round. */
export interface QueueSizes {
  readonly single: number;
  readonly batch: number;
  readonly process: number;
  readonly pickup: number;
  readonly workers: number;
  readonly backlog: BacklogSizes;
  readonly blocked: BlockedSizes;
}

const fullSizes: QueueSizes = {
  single: 200_000,
  batch: 300_000,
  process: 100_000,
  pickup: 10_000,
  workers: 30_000,
  backlog: { many: 1_000_000, few: 1_000, count: 10_000 },
  blocked: { blocked: 100_000, groups: 1_000, free: 50_000 },
};

/** The queue, beside BullMQ where there is something to compare: the same job, the same machine, by turns. */
export const queueSuite = (sizes: QueueSizes = fullSizes): Suite => ({
  workloads: [
    enqueueSingly(sizes.single),
    enqueueBatches(sizes.batch),
    processItems(sizes.process, { keepDone: true }),
    processItems(sizes.process, { keepDone: false }),
    pickupLatency(sizes.pickup),
    workerProcesses(sizes.workers),
    blockedGroups(sizes.blocked),
    backlog(sizes.backlog),
  ],
  versions: async () => ({
    node: process.version,
    'nats-server': (await resolveNatsServer()).version,
    trivet: versionIn('package.json'),
    bullmq: versionIn('node_modules/bullmq/package.json'),
    ioredis: versionIn('node_modules/ioredis/package.json'),
    redis: redisServerVersion(),
  }),
});
