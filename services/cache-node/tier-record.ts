/**
 * What the cluster knows of a namespace's backend, beside the backend. It outlives the node, so that whoever comes
 * after it does not believe a backend that was not told of everything.
 */
export interface TierRecord {
  /** Undefined when nothing was ever noted. Rejects when it cannot be read. */
  read(namespace: string): Promise<TierNote | undefined>;
  /** Whether another node has noted an outage of the namespace's backend and not its end. Rejects as `read`. */
  isOutageElsewhere(namespace: string): Promise<boolean>;
  /** Resolves once it is durable. */
  write(namespace: string, note: TierNote): Promise<void>;
}

export interface TierNote {
  /** Changes were answered that the backend may not have. */
  readonly outage: boolean;
  /** The process whose file has the entries. */
  readonly holder: string;
  /** Of the map (core/node-map.ts) under which this was noted; none: of one that has none either. */
  readonly bornMs?: number;
}
