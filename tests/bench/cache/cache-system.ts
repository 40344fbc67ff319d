/** What a benchmark needs of a cache, with the calls that its users make. */
export interface CacheSystem {
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<unknown>;
  getMany(keys: readonly string[]): Promise<readonly (string | undefined)[]>;
  /** Reads that were answered without a message, so far. */
  nearHits(): number;
  close(): Promise<void>;
}
