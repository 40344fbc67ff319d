/**
 * What the cluster knows of a namespace's backend, beside the backend. It outlives the node, so that whoever comes
 * after it does not believe a backend that was not told of everything.
 */
export interface TierRecord {
  /** Undefined when nothing was ever noted. Rejects when it cannot be read. */
  read(namespace: string): Promise<TierNote | undefined>;
  /** Resolves once it is durable. */
  write(namespace: string, note: TierNote): Promise<void>;
}

export interface TierNote {
  /** Changes were answered that the backend may not have. */
  readonly outage: boolean;
  /** The process whose file has the entries. */
  readonly holder: string;
}
