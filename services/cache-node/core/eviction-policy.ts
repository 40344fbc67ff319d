import type { CacheStrategy } from '#shared/protocol/cache-schemas.ts';
import { LruPolicy } from './lru-policy.ts';
import { S3FifoPolicy } from './s3-fifo-policy.ts';
import { TinyLfuPolicy } from './tiny-lfu-policy.ts';

/**
 * Says what goes for room. It knows slots, the hashes of their keys and their weights (bytes), and holds its order in
 * arrays over slots. It knows no quota: it is asked for a victim when room is needed.
 */
export interface EvictionPolicy {
  /** Takes in a new slot. */
  add(slot: number, hash: number, weight: number): void;
  /** The slot was read or written. */
  use(slot: number, hash: number): void;
  /** The slot's weight is another one now. */
  reweigh(slot: number, weight: number): void;
  /** The slot left by itself: deleted, expired. */
  remove(slot: number): void;
  /** The slot to go first. It stays until `evict` or `remove` is called. Amortized O(1). */
  victim(): number | undefined;
  /** The victim left for room, which a policy may remember. */
  evict(slot: number, hash: number): void;
  /** All slots, about from the first to go to the last: what another policy takes over. */
  slots(): Iterable<number>;
  /** Bytes of memory that it takes. */
  readonly bytes: number;
}

export function evictionPolicy(strategy: CacheStrategy): EvictionPolicy {
  switch (strategy) {
    case 'lru':
      return new LruPolicy();
    case 's3-fifo':
      return new S3FifoPolicy();
    case 'w-tinylfu':
      return new TinyLfuPolicy();
  }
}
