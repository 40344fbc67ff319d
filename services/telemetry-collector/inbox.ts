import type { MsgHdrs } from '#shared/runtime/nats.ts';

/** A message of the stream, as it was given to this collector. */
export interface Delivery {
  /** In the stream; the same whenever it comes again. */
  readonly sequence: number;
  readonly subject: string;
  readonly headers: MsgHdrs | undefined;
  readonly body: Uint8Array;
  /** When JetStream stored it, epoch milliseconds. */
  readonly receivedMs: number;
  /** How many times JetStream has given it to somebody, this one counted. */
  readonly deliveries: number;
  /** Where it is acknowledged. */
  readonly reply: string;
  readonly acknowledge: () => void;
  /** Gives it back, to come again in a second. */
  readonly later: () => void;
  /** Puts off the moment at which JetStream gives it to another collector. */
  readonly working: () => void;
}

/** How much one pull may bring. */
export interface Room {
  readonly messages: number;
  readonly bytes: number;
}

export interface Backlog {
  /** Messages that nobody has been given yet. */
  readonly waiting: number;
  /** Messages that some collector holds. */
  readonly unacknowledged: number;
  readonly redelivered: number;
  /** How long ago the oldest message came that is not acknowledged; 0 where there is none. */
  readonly ageMs: number;
  /** Every message up to this sequence is acknowledged. */
  readonly acknowledgedThrough: number;
}

/** What the consumer remembers. */
export interface Position {
  /** The highest sequence that it knows to have been delivered. */
  readonly deliveredThrough: number;
  /** The highest sequence of the stream. */
  readonly lastSequence: number;
}

export interface PullHandlers {
  /** Resolves once more is wanted, with how much. */
  readonly room: () => Promise<Room>;
  readonly onDelivery: (delivery: Delivery) => void;
  /**
   * Called at once when the server was lost or did not answer: what it has delivered it may have forgotten. What was
   * asked for may still come.
   */
  readonly onInterruption: () => void;
  /** Called after it: nothing is asked for before it has resolved. Where it rejects, it is called again. */
  readonly onResumption: () => Promise<void>;
}

/** The stream of records. */
export interface Inbox {
  /** Makes what is missing. @returns what tells this stream from a later one of its name */
  prepare(): Promise<string>;
  /** Hands over every message, as far as there is room, until `stop`. */
  pull(handlers: PullHandlers): Promise<void>;
  stop(): void;
  backlog(): Promise<Backlog>;
  position(): Promise<Position>;
}
