import { join } from 'node:path';
import type { Clock } from '#shared/runtime/clock.ts';
import { StartRefused, exitCodes } from '#shared/runtime/exit-codes.ts';
import type { Log } from '#shared/runtime/log.ts';
import type { Redis } from '#shared/runtime/redis.ts';
import type { ItemStore } from './item-store.ts';
import { LmdbStore } from './lmdb-store.ts';
import type { PartitionLog } from './partition-log.ts';

/** Where the tables of this broker's partitions are. */
export interface TableStores {
  /** Opens the rows of a partition that this broker is about to take. */
  open(partition: number, records: PartitionLog): Promise<ItemStore>;
  /** From `delayMs` on, stores that are open do not wait for what is away: nobody needs their rows any more. */
  hurry(delayMs: number): void;
  close(): void;
}

export interface TableStoresOptions {
  readonly queueStore: 'lmdb' | 'redis';
  readonly redisUrl: string;
  /** Folder of this process. */
  readonly data: string;
  readonly prefix: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long Redis is waited for at the start: it may come up together with this process. */
const connectMsMax = 5_000;
/** How long an owner goes on without Redis. Then it ends: another broker may reach what this one does not. */
const retryMsMax = 600_000;

/** Opens the place of the tables; refuses the start when it is not there, or would lose rows. */
export async function openTableStores(options: TableStoresOptions): Promise<TableStores> {
  return options.queueStore === 'redis' ? openRedis(options) : lmdbStores(options.data);
}

const lmdbStores = (data: string): TableStores => ({
  open: (partition) => Promise.resolve(new LmdbStore(join(data, `partition-${partition}`))),
  hurry: () => undefined,
  close: () => undefined,
});

async function openRedis({ redisUrl, prefix, clock, log }: TableStoresOptions): Promise<TableStores> {
  // Only now: the library takes half a second and 30 MB, which brokers with LMDB need not spend.
  const { connectRedis, shownUrl } = await import('#shared/runtime/redis.ts');
  const { RedisStore } = await import('./redis-store.ts');
  const { partitionKeys } = await import('./redis-scripts.ts');
  const place = `TRIVET_REDIS_URL (${shownUrl(redisUrl)})`;
  const redis = await connectRedis({ url: redisUrl, connectMsMax, clock, log }).catch((error: unknown) => {
    throw refusal(`there is no Redis at ${place}: ${causesOf(error)}`);
  });
  await refuseEviction(redis, place);
  let hurrying = new AbortController();
  return {
    open: (partition, records) =>
      RedisStore.open({
        redis,
        keys: partitionKeys(prefix, partition),
        clock,
        log,
        retryMsMax,
        hurry: hurrying.signal,
        logIdentity: async () => (await records.describe()).identity,
      }),
    hurry: (delayMs) => {
      const current = hurrying;
      hurrying = new AbortController();
      clock.after(delayMs, () => current.abort(new Error('the broker gives the rows up')));
    },
    close: () => redis.close(),
  };
}

/** Rows have no expiry, so only `allkeys-…` would take them. */
async function refuseEviction(redis: Redis, place: string): Promise<void> {
  const memory = String(await redis.command(undefined, ['INFO', 'memory']));
  const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1] ?? '';
  if (policy.startsWith('allkeys') && !/^maxmemory:0\r?$/m.test(memory)) {
    throw refusal(
      `the Redis at ${place} evicts what is not asked for (maxmemory-policy ${policy}), and rows are not: ` +
        `give it noeviction or volatile-lru`,
    );
  }
}

const refusal = (problem: string) => new StartRefused(exitCodes.missingPart, problem);

function causesOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === '' ? error.name : error.message;
  return error.cause === undefined ? own : `${own}: ${causesOf(error.cause)}`;
}
