import type { Found } from './cache-fill.ts';
import type { NearCache, ReadStamp } from './near-cache.ts';

interface SharedRead<T> {
  readonly stamp: ReadStamp;
  readonly found: Promise<Found<T>>;
}

/**
 * Reads that are under way, for those who ask for the same key meanwhile: one of them asks the node. A read is shared
 * only as long as nothing was heard of its key since it began.
 */
export class SharedReads<T> {
  readonly #near: NearCache;
  readonly #underWay = new Map<string, SharedRead<T>>();

  constructor(near: NearCache) {
    this.#near = near;
  }

  /** What a read that is under way will find; undefined when there is none that is still good. */
  of(key: string): Promise<Found<T>> | undefined {
    const read = this.#underWay.get(key);
    return read !== undefined && this.#near.isCurrent(key, read.stamp) ? read.found : undefined;
  }

  /** Lets others share what began at `stamp`, until it ends. */
  share(key: string, stamp: ReadStamp, found: Promise<Found<T>>): void {
    const read = { stamp, found };
    this.#underWay.set(key, read);
    const end = () => {
      if (this.#underWay.get(key) === read) this.#underWay.delete(key);
    };
    found.then(end, end);
  }
}

/** Whether a value comes back from the node as it is, and cannot be changed meanwhile. */
export const isConstant = (value: unknown): boolean =>
  typeof value === 'string'
    ? value.isWellFormed()
    : typeof value === 'boolean' || Number.isSafeInteger(value);
