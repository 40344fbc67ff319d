import { recordMark } from './record-mark.ts';
import type { Room } from './work.ts';

/** How full the log may be for each kind of work, as a share of its limit. */
const roomShare: Readonly<Record<Room, number>> = {
  'new-items': 0.8,
  claims: 0.9,
  // The rest is for fences: a partition that cannot raise one could never be owned again.
  always: 0.98,
  nothing: Number.POSITIVE_INFINITY,
};

/** What a record takes in the stream besides its data (headers, subject, the stream's own), in bytes: rather too many. */
const recordOverheadBytes = 256;

/** How long a partition's log is, as its owner counts it, and what its last record is known by. */
export class LogGauge {
  readonly bytesMax: number;
  #bytes: number;
  #appendedBytes = 0;
  #lastBytes = 0;
  #mark: string | undefined;

  /** @param options.logBytesMax the log's limit; 0 or less is none */
  constructor(options: {
    readonly logBytes: number;
    readonly logBytesMax: number;
    readonly mark: string | undefined;
  }) {
    this.bytesMax = options.logBytesMax;
    this.#bytes = options.logBytes;
    this.#mark = options.mark;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that this owner has appended; fences do not count. */
  get appendedBytes(): number {
    return this.#appendedBytes;
  }

  /** Of the last record; undefined where it is not known. */
  get mark(): string | undefined {
    return this.#mark;
  }

  /** A batch is on its way to the log. */
  addBatch(data: Uint8Array): void {
    this.addFence(data);
    this.#lastBytes = data.length + recordOverheadBytes;
    this.#appendedBytes += this.#lastBytes;
  }

  addFence(data: Uint8Array): void {
    this.#bytes += data.length + recordOverheadBytes;
    this.#mark = recordMark(data);
  }

  /** Begins to measure the log anew. @returns what is to be told its bytes */
  measure(): (bytes: number) => void {
    // Rather too much is counted than too little: the last record may be on its way, and more follow.
    const before = this.#appendedBytes - this.#lastBytes;
    return (bytes) => {
      this.#bytes = bytes + this.#appendedBytes - before;
    };
  }

  hasRoom(room: Room): boolean {
    return this.bytesMax <= 0 || this.#bytes < this.bytesMax * roomShare[room];
  }
}
