/**
 * One record of a partition's log as it is read back. A foreign one was not written by a broker: nats-server itself
 * can be made to write its PubAck there, by a client that names the log's subject as its reply subject.
 */
export type LogRecord =
  | { readonly kind: 'foreign'; readonly sequence: number }
  | { readonly kind: 'fence'; readonly sequence: number; readonly data: Uint8Array }
  | { readonly kind: 'batch'; readonly sequence: number; readonly data: Uint8Array };

export interface LogDescription {
  /** Changes when the stream is made anew: sequences of two streams cannot be compared. */
  readonly identity: string;
  /** 0 and 0 for an empty stream; a purged one begins later. */
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly lastFence: number;
  readonly bytes: number;
  readonly bytesMax: number;
}

/** Where a batch belongs: the epoch that it was decided in, and the record that it must follow. */
export interface Position {
  readonly epoch: number;
  readonly lastSequence: number;
}

/** The log of one partition. The broker's is a JetStream stream, the simulator's is memory. */
export interface PartitionLog {
  describe(): Promise<LogDescription>;
  /**
   * Raises a fence: whoever had the partition before can append no more.
   * @param expectedFence the newest fence known, 0 for none
   * @returns the fence's sequence, the new epoch. Throws `FencedError` when another broker was faster
   */
  raiseFence(fence: Uint8Array, expectedFence: number): Promise<number>;
  /**
   * Appends one batch; resolves once it is durable. Retries for as long as the outcome is unknown.
   * A repetition is stored once and answered as the first one was.
   * @returns its sequence. Throws `FencedError` when the partition has a newer owner or the log another end
   */
  append(batch: Uint8Array, position: Position): Promise<number>;
  /** Hands every record in [from, to] to `onRecord`, in order. Throws `LogGapError` when one is missing. */
  read(from: number, to: number, onRecord: (record: LogRecord) => void): Promise<void>;
  /** The record at a sequence, undefined when the log does not hold it (any more). */
  at(sequence: number): Promise<LogRecord | undefined>;
  /** Removes every record before `sequence`. The newest fence must not be among them: appends refer to it. */
  purge(sequence: number): Promise<void>;
}

/** A record that should be there is not. */
export class LogGapError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'LogGapError';
  }
}

/** This process does not own the partition any more. It rebuilds from rows and log should it get it back. */
export class FencedError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FencedError';
  }
}
