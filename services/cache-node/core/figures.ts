/** Why an entry had to go for room: a quota of the namespace, or the bytes of the node. */
export type EvictionReason = 'entries' | 'bytes' | 'node';

/** What a namespace counts, since it was made. */
export class Figures {
  hits = 0;
  staleHits = 0;
  misses = 0;
  sets = 0;
  deletes = 0;
  expirations = 0;
  invalidations = 0;
  readonly evictionsBy: Record<EvictionReason, number> = { entries: 0, bytes: 0, node: 0 };

  read() {
    const { hits, staleHits, misses, sets, deletes, expirations, invalidations } = this;
    const { entries, bytes, node } = this.evictionsBy;
    const asked = hits + misses;
    return {
      hits,
      staleHits,
      misses,
      hitRate: asked === 0 ? 0 : hits / asked,
      sets,
      deletes,
      evictions: entries + bytes + node,
      evictionsBy: { entries, bytes, node },
      expirations,
      invalidations,
    };
  }
}
