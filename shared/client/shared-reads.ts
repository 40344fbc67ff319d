import { durationMs } from '#shared/protocol/durations.ts';
import type { Found } from './cache-fill.ts';
import type { SetOptions } from './cache-options.ts';
import type { SetReply } from './cache-wire.ts';
import { type NearCache, type ReadStamp, writingMsMax } from './near-cache.ts';

interface SharedRead<T> {
  readonly stamp: ReadStamp;
  readonly found: Promise<Found<T>>;
}

export type WriteOptions = SetOptions & { readonly loadToken?: number };

/** A value on its way to the node, which this process dropped its copy for. */
export interface Write<T> {
  readonly value: T;
  readonly written: Promise<SetReply>;
  readonly options: WriteOptions | undefined;
  readonly nowMs: number;
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

  /**
   * What was written is kept under the version that it gets. Who reads meanwhile gets it, too, if nothing stands in its
   * way; else he waits for the answer, and asks nobody.
   * @param read asks the node, where the write failed
   */
  shareWrite(
    key: string,
    { value, written, options = {}, nowMs }: Write<T>,
    read: () => Promise<Found<T>>,
  ): void {
    const near = this.#near;
    const stamp = near.beginRead();
    const writing = isUnconditional(options) ? near.beginWrite(key, value, nowMs) : undefined;
    const found = written.then(
      ({ version, ttlMs }) => {
        near.endWrite(key, writing);
        near.keep(key, { hit: true, value, version, ttlMs, tags: options.tags }, stamp, nowMs);
        return { value, stale: false };
      },
      () => {
        near.endWrite(key, writing);
        return read();
      },
    );
    this.share(key, stamp, found);
  }
}

/** Whether the value is there once it is written, and longer than it is served before the answer. */
const isUnconditional = ({ ifAbsent, ifVersion, loadToken, ttl }: WriteOptions): boolean =>
  loadToken === undefined &&
  ifAbsent === undefined &&
  ifVersion === undefined &&
  (ttl === undefined || ttl === 0 || (durationMs(ttl) ?? 0) > writingMsMax);

/** Whether a value comes back from the node as it is, and cannot be changed meanwhile. */
export const isConstant = (value: unknown): boolean =>
  typeof value === 'string'
    ? value.isWellFormed()
    : typeof value === 'boolean' || Number.isSafeInteger(value);
