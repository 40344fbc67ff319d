import type { CacheClusterStats, CacheStats } from '#shared/protocol/cache-schemas.ts';

/** The figures of one namespace over several nodes: settings of the first, sums, and the slowest node's latencies. */
export function summedStats(first: CacheStats, others: readonly CacheStats[]): CacheStats {
  const all = [first, ...others];
  const sum = (read: (stats: CacheStats) => number): number =>
    all.reduce((total, stats) => total + read(stats), 0);
  const most = (read: (stats: CacheStats) => number): number => Math.max(...all.map(read));
  const [hits, misses] = [sum((stats) => stats.hits), sum((stats) => stats.misses)];
  return {
    ...first,
    entries: sum((stats) => stats.entries),
    bytes: sum((stats) => stats.bytes),
    ...(first.inMemory === undefined ? {} : { inMemory: inMemory(all) }),
    overheadBytes: sum((stats) => stats.overheadBytes),
    hits,
    staleHits: sum((stats) => stats.staleHits),
    misses,
    hitRate: hits + misses === 0 ? 0 : hits / (hits + misses),
    sets: sum((stats) => stats.sets),
    deletes: sum((stats) => stats.deletes),
    evictions: sum((stats) => stats.evictions),
    evictionsBy: {
      entries: sum((stats) => stats.evictionsBy.entries),
      bytes: sum((stats) => stats.evictionsBy.bytes),
      node: sum((stats) => stats.evictionsBy.node),
    },
    expirations: sum((stats) => stats.expirations),
    invalidations: sum((stats) => stats.invalidations),
    loads: {
      granted: sum((stats) => stats.loads.granted),
      failed: sum((stats) => stats.loads.failed),
      expired: sum((stats) => stats.loads.expired),
      waiting: sum((stats) => stats.loads.waiting),
    },
    latencyMs: {
      p50: most((stats) => stats.latencyMs.p50),
      p95: most((stats) => stats.latencyMs.p95),
      p99: most((stats) => stats.latencyMs.p99),
    },
    degraded: all.some((stats) => stats.degraded),
  };
}

/** A node that says nothing of it, since its backend is just being changed, has all of its entries in memory. */
function inMemory(all: readonly CacheStats[]) {
  const sums = { entries: 0, bytes: 0 };
  for (const stats of all) {
    const { entries, bytes } = stats.inMemory ?? stats;
    sums.entries += entries;
    sums.bytes += bytes;
  }
  return sums;
}

/** The figures of all namespaces of all nodes. */
export function clusterStats(nodes: readonly (readonly CacheStats[])[]): CacheClusterStats {
  const byName = new Map<string, CacheStats[]>();
  for (const stats of nodes.flat()) {
    const known = byName.get(stats.namespace);
    if (known === undefined) byName.set(stats.namespace, [stats]);
    else known.push(stats);
  }
  const namespaces: CacheStats[] = [];
  for (const [first, ...others] of byName.values())
    if (first !== undefined) namespaces.push(summedStats(first, others));
  return totalStats(namespaces);
}

/** The sums over namespaces, with the figures of each. */
export function totalStats(namespaces: readonly CacheStats[]): CacheClusterStats {
  const sums = {
    entries: 0,
    bytes: 0,
    overheadBytes: 0,
    hits: 0,
    staleHits: 0,
    misses: 0,
    sets: 0,
    deletes: 0,
    evictions: 0,
    expirations: 0,
    invalidations: 0,
  };
  for (const one of namespaces)
    for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += one[name];
  const asked = sums.hits + sums.misses;
  return { ...sums, hitRate: asked === 0 ? 0 : sums.hits / asked, namespaces: [...namespaces] };
}
