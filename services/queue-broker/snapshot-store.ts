/**
 * Where the snapshots of one partition's table are kept: objects by name, each written and read as a whole. The
 * broker's is the NATS object store, the simulator's is memory that loses, cuts and damages what it is given.
 */
export interface SnapshotStore {
  /** The names of all objects that are there as a whole, in no order. */
  list(): Promise<readonly string[]>;
  /** Writes an object over the one of that name. A put that fails may have left nothing, or all of it. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** The object as it was put, or undefined. Throws when it is damaged and the store knows it. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** Removes objects for good; those that are not there are no fault. */
  remove(names: readonly string[]): Promise<void>;
  /** Removes what puts that never came to an end have left. A put that is under way fails, or leaves nothing. */
  tidy(): Promise<void>;
}

/** A snapshot, or a part of it, is not what was written: another one must do. */
export class SnapshotFault extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SnapshotFault';
  }
}
