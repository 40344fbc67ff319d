import type { CacheClusterStats, CacheStats } from '#shared/protocol/cache-schemas.ts';
import type { BriefQueueStats, QueueTotals } from '#shared/protocol/queue-schemas.ts';
import type { Family, Sample } from './prometheus-families.ts';

/** Namespaces with series of their own, in the order of their names. As many queues are asked of the brokers. */
export const namedMax = 500;

/** Stands for all queues or namespaces beyond that. No name can be this. */
const othersName = '(others)';

/** What queues are metered by. Pure. */
export function queueFamilies({ queues, others, logs = [] }: BriefQueueStats): readonly Family[] {
  const all: (QueueTotals & { readonly queue: string })[] = [...queues];
  if (others.queues > 0) all.push({ ...others, queue: othersName });
  const of = (read: (totals: QueueTotals) => number): readonly Sample[] =>
    all.map((one) => ({ labels: { queue: one.queue }, value: read(one) }));
  const byState = (read: (totals: QueueTotals) => Readonly<Record<string, number>>): readonly Sample[] =>
    all.flatMap((one) =>
      Object.entries(read(one)).map(([state, value]) => ({ labels: { queue: one.queue, state }, value })),
    );
  return [
    gauge('trivet_queues', 'Queues that exist.', [{ labels: {}, value: queues.length + others.queues }]),
    gauge(
      'trivet_queue_items',
      'Items by the state that they are in.',
      byState(({ counts }) => counts),
    ),
    gauge(
      'trivet_queue_oldest_pending_seconds',
      'How long the item has waited that is ready for longest.',
      of(({ oldestPendingMs }) => oldestPendingMs / 1_000),
    ),
    gauge(
      'trivet_queue_payload_bytes',
      'Payload bytes of all items that are kept.',
      of(({ bytes }) => bytes),
    ),
    counter(
      'trivet_queue_finished_items_total',
      'Items that ended, by how.',
      byState(({ finished }) => finished),
    ),
    counter(
      'trivet_queue_attempts_total',
      'Attempts that were started.',
      of(({ attempts }) => attempts),
    ),
    counter(
      'trivet_queue_expired_leases_total',
      'Leases that ended before their worker answered.',
      of(({ expiredLeases }) => expiredLeases),
    ),
    ...logFamilies(logs),
  ];
}

function logFamilies(logs: NonNullable<BriefQueueStats['logs']>): readonly Family[] {
  const limited = logs.filter(({ bytesMax }) => bytesMax > 0);
  const sample = (partition: number, value: number): Sample => ({
    labels: { partition: String(partition) },
    value,
  });
  return [
    gauge(
      'trivet_queue_log_bytes',
      'Bytes of the log of a partition.',
      logs.map(({ partition, bytes }) => sample(partition, bytes)),
    ),
    gauge(
      'trivet_queue_log_limit_bytes',
      'Most bytes of the log of a partition.',
      limited.map(({ partition, bytesMax }) => sample(partition, bytesMax)),
    ),
  ];
}

type CacheTotals = Pick<
  CacheStats,
  'entries' | 'bytes' | 'hits' | 'staleHits' | 'misses' | 'evictionsBy' | 'expirations'
>;

/** What caches are metered by. Pure. */
export function cacheFamilies({ namespaces }: Pick<CacheClusterStats, 'namespaces'>): readonly Family[] {
  const sorted = namespaces.toSorted((one, other) => (one.namespace < other.namespace ? -1 : 1));
  const all: (CacheTotals & { readonly namespace: string })[] = sorted.slice(0, namedMax);
  const others = sorted.slice(namedMax);
  if (others.length > 0) all.push({ namespace: othersName, ...sumOf(others) });
  const of = (read: (totals: CacheTotals) => number): readonly Sample[] =>
    all.map((one) => ({ labels: { namespace: one.namespace }, value: read(one) }));
  return [
    gauge(
      'trivet_cache_entries',
      'Entries that are kept.',
      of(({ entries }) => entries),
    ),
    gauge(
      'trivet_cache_bytes',
      'Bytes of entries, as the quota counts them.',
      of(({ bytes }) => bytes),
    ),
    counter(
      'trivet_cache_hits_total',
      'Reads that found their entry; stale ones among them.',
      of(({ hits }) => hits),
    ),
    counter(
      'trivet_cache_stale_hits_total',
      'Reads that were served within the grace of an entry.',
      of(({ staleHits }) => staleHits),
    ),
    counter(
      'trivet_cache_misses_total',
      'Reads that found no entry.',
      of(({ misses }) => misses),
    ),
    counter(
      'trivet_cache_evictions_total',
      'Entries that gave way, by what asked for the room.',
      all.flatMap(({ namespace, evictionsBy }) =>
        Object.entries(evictionsBy).map(([reason, value]) => ({ labels: { namespace, reason }, value })),
      ),
    ),
    counter(
      'trivet_cache_expirations_total',
      'Entries whose time was over.',
      of(({ expirations }) => expirations),
    ),
  ];
}

function sumOf(namespaces: readonly CacheTotals[]): CacheTotals {
  const of = (read: (totals: CacheTotals) => number): number =>
    namespaces.reduce((sum, one) => sum + read(one), 0);
  return {
    entries: of(({ entries }) => entries),
    bytes: of(({ bytes }) => bytes),
    hits: of(({ hits }) => hits),
    staleHits: of(({ staleHits }) => staleHits),
    misses: of(({ misses }) => misses),
    evictionsBy: {
      entries: of(({ evictionsBy }) => evictionsBy.entries),
      bytes: of(({ evictionsBy }) => evictionsBy.bytes),
      node: of(({ evictionsBy }) => evictionsBy.node),
    },
    expirations: of(({ expirations }) => expirations),
  };
}

const gauge = (name: string, help: string, samples: readonly Sample[]): Family => ({
  name,
  type: 'gauge',
  help,
  samples,
});
const counter = (name: string, help: string, samples: readonly Sample[]): Family => ({
  name,
  type: 'counter',
  help,
  samples,
});
