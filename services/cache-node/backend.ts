/**
 * What keeps the entries of one namespace beyond this process's memory. It knows rows and their ends, and no rule: what
 * is served, refused or evicted from memory is decided in front of it. One verb that writes at a time.
 */
export interface Backend {
  /**
   * Makes this process the only one that writes here, and says what holds for the namespace as a whole.
   * Said again it takes what has become this process's own since.
   */
  take(claim: Claim): Promise<Taken>;
  /** The rows of these keys in order; undefined where there is none, or a void one. They may be past their end. */
  fetch(keys: readonly string[]): Promise<readonly (Buffer | undefined)[]>;
  /** Resolves once all of it is kept. After a rejection any part of it may be, or may still come to be. */
  apply(batch: Batch): Promise<Applied>;
  /** Keys in an order that changes to other keys do not disturb; undefined when the cursor is none of ours. */
  page(query: PageQuery): Promise<BackendPage | undefined>;
  close(): Promise<void>;
}

export interface Claim {
  /** Rows with a stamp up to this one are void, such as those from before the namespace had this backend. */
  readonly since: number;
  /** Above all stamps that this process knows, and below those of its batches from now on. */
  readonly stamp: number;
}

export interface Taken {
  /** No stamp and no version that was written here is greater. */
  readonly stamp: number;
  /** The version at which each tag was invalidated last. */
  readonly tags: ReadonlyMap<string, number>;
  /** Something that this process had written here is gone: what is left may be older than what it told its callers. */
  readonly lost: boolean;
  readonly figures: Figures | undefined;
}

export interface Row {
  readonly bytes: Buffer;
  /** Wall time in epoch milliseconds at which it is worth nothing any more; Infinity when it stays. */
  readonly endsAtMs: number;
  /** What the quota counts. */
  readonly sizeBytes: number;
}

export interface Batch {
  /** Greater than those of all batches before it. The rows carry it. */
  readonly stamp: number;
  /** Wall time. */
  readonly nowMs: number;
  /** A row for each key that has one now, null for each that has none. */
  readonly rows: ReadonlyMap<string, Row | null>;
  /** All rows and tags that were written before are void from now on; those of this batch hold. */
  readonly clears: boolean;
  readonly tags?: ReadonlyMap<string, number>;
  readonly quota: Quota;
}

export interface Quota {
  readonly entriesMax: number;
  readonly bytesMax: number;
}

export interface Applied {
  /** Keys that had to go so that the quota holds. */
  readonly evicted: readonly string[];
  readonly figures: Figures | undefined;
}

/** Undefined where the backend does not count. Rows whose end has come are in it until they are removed. */
export interface Figures {
  readonly entries: number;
  readonly bytes: number;
}

export interface PageQuery {
  readonly cursor: string | undefined;
  readonly prefix: string;
  readonly keysMax: number;
  /** Stop before the keys pass this many bytes; the first one always fits. */
  readonly keyBytesMax: number;
  readonly nowMs: number;
}

export interface BackendPage {
  readonly keys: readonly string[];
  /** Left out on the last page. */
  readonly cursor?: string;
}

/** Another process has made itself the only one that writes here. */
export class TakenError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = 'TakenError';
  }
}
