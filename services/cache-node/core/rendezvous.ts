import { cacheSlots } from '#shared/protocol/cache-slots.ts';
import { fnv1a32 } from '#shared/protocol/partition.ts';

/**
 * Which node each slot belongs to: the one with the highest score for it. A node that joins takes the slots for which
 * its score is the highest, and no other slot moves; one that leaves spreads its own evenly over the others.
 * Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM ToN 6(1), 1998.
 * @param names of the nodes, all different, in any order; at least one
 * @returns for each slot the index of its node in `names`; O(slots × nodes)
 */
export function rendezvous(names: readonly string[]): readonly number[] {
  const hashes = names.map((name) => mixed(fnv1a32(name)));
  return Array.from({ length: cacheSlots }, (_, slot) => {
    const slotHash = mixed(Math.imul(slot + 1, 0x9e3779b1));
    let best = 0;
    let bestScore = -1;
    for (const [index, hash] of hashes.entries()) {
      const score = mixed(hash ^ slotHash);
      // Of equal scores the smaller name, so that the order of `names` does not matter.
      const wins = score > bestScore || (score === bestScore && (names[index] ?? '') < (names[best] ?? ''));
      if (!wins) continue;
      best = index;
      bestScore = score;
    }
    return best;
  });
}

/** The finalizer of MurmurHash3: every bit of the input tips every bit of the result. Source: Appleby, 2011. */
function mixed(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
