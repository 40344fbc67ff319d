import {
  FencedError,
  type LogDescription,
  LogGapError,
  type LogRecord,
  type PartitionLog,
  type Position,
} from './partition-log.ts';

/**
 * A log in memory, for queues that are never stored. It keeps the promises of the one in JetStream, so that whatever
 * stands on it behaves alike; it is gone with its process.
 */
export class MemoryLog implements PartitionLog {
  readonly #records: Map<number, LogRecord>;
  /** Where each batch stands, by the place that it was meant for. */
  readonly #places = new Map<string, number>();
  #lastSequence = 0;
  #lastFence = 0;

  /** @param records where to keep them, by their sequences */
  constructor(records: Map<number, LogRecord> = new Map()) {
    this.#records = records;
  }

  describe(): Promise<LogDescription> {
    const [firstSequence = this.#lastSequence === 0 ? 0 : this.#lastSequence + 1] = this.#records.keys();
    let bytes = 0;
    for (const record of this.#records.values()) if (record.kind !== 'foreign') bytes += record.data.length;
    return Promise.resolve({
      identity: 'memory',
      firstSequence,
      lastSequence: this.#lastSequence,
      lastFence: this.#lastFence,
      bytes,
      bytesMax: 0,
    });
  }

  raiseFence(fence: Uint8Array, expectedFence: number): Promise<number> {
    if (expectedFence !== this.#lastFence)
      return Promise.reject(new FencedError(`the fence is ${this.#lastFence}, not ${expectedFence}`));
    this.#lastFence = this.#keep('fence', fence);
    return Promise.resolve(this.#lastFence);
  }

  append(batch: Uint8Array, { epoch, lastSequence }: Position): Promise<number> {
    const place = `${epoch}.${lastSequence}`;
    const known = this.#places.get(place);
    if (known !== undefined) return Promise.resolve(known);
    if (epoch !== this.#lastFence || lastSequence !== this.#lastSequence) {
      const end = `the log ends at ${this.#lastSequence} under the fence ${this.#lastFence}`;
      return Promise.reject(new FencedError(`${end}, not at ${lastSequence} under ${epoch}`));
    }
    const sequence = this.#keep('batch', batch);
    this.#places.set(place, sequence);
    return Promise.resolve(sequence);
  }

  // A fault of whoever reads is a rejection, as from every other log.
  // oxlint-disable-next-line require-await
  async read(from: number, to: number, onRecord: (record: LogRecord) => void): Promise<void> {
    for (let sequence = from; sequence <= to; sequence += 1) {
      const record = this.#records.get(sequence);
      if (record === undefined) throw new LogGapError(`the log lacks record ${sequence}`);
      onRecord(record);
    }
  }

  at(sequence: number): Promise<LogRecord | undefined> {
    return Promise.resolve(this.#records.get(sequence));
  }

  purge(sequence: number): Promise<void> {
    for (const known of this.#records.keys()) {
      if (known >= sequence) break;
      this.#records.delete(known);
    }
    return Promise.resolve();
  }

  #keep(kind: 'fence' | 'batch', data: Uint8Array): number {
    this.#lastSequence += 1;
    // A copy (a Buffer's slice is none): what its writer does with the bytes afterwards must not reach the log.
    this.#records.set(this.#lastSequence, { kind, sequence: this.#lastSequence, data: new Uint8Array(data) });
    return this.#lastSequence;
  }
}
