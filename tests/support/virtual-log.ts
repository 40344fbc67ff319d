import {
  FencedError,
  LogGapError,
  type LogDescription,
  type LogRecord,
  type PartitionLog,
  type Position,
} from '#services/queue-broker/partition-log.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';

/** A message on its way to the stream, with what it expects to find there. */
interface Message {
  readonly kind: 'fence' | 'batch';
  readonly data: Uint8Array;
  readonly expectedFence: number;
  readonly expectedLast?: number;
  /** `Nats-Msg-Id`. */
  readonly id?: string;
}

/** What becomes of one message: when each copy of it arrives (none: it is lost), and whether its sender hears back. */
export interface Fate {
  readonly arrivalsMs: readonly number[];
  readonly answerMs: number | undefined;
}

export interface Network {
  fate(): Fate;
}

/** A network without faults. */
export const calmNetwork: Network = { fate: () => ({ arrivalsMs: [1], answerMs: 1 }) };

/**
 * A JetStream stream in memory, with what the broker relies on: a fence is raised by compare-and-set, and a batch must
 * know both the fence and the end of the log. That nats-server remembers message ids is no help here, since it judges
 * expectations first.
 */
export class VirtualStream {
  readonly #records = new Map<number, LogRecord>();
  readonly #ids = new Map<number, string>();
  readonly #onStored: (record: LogRecord) => void;
  readonly #bytesMax: number;
  #lastSequence = 0;
  #lastFence = 0;
  #bytes = 0;

  /**
   * @param onStored sees every record the moment that it is stored
   * @param bytesMax what the stream says that it may hold; 0 is without limit
   */
  constructor(onStored: (record: LogRecord) => void = () => undefined, bytesMax = 0) {
    this.#onStored = onStored;
    this.#bytesMax = bytesMax;
  }

  get lastFence(): number {
    return this.#lastFence;
  }

  describe(): LogDescription {
    const [firstSequence = this.#lastSequence === 0 ? 0 : this.#lastSequence + 1] = this.#records.keys();
    return {
      identity: 'virtual',
      firstSequence,
      lastSequence: this.#lastSequence,
      lastFence: this.#lastFence,
      bytes: this.#bytes,
      bytesMax: this.#bytesMax,
    };
  }

  /** Takes a message in, or throws `FencedError`. */
  store(message: Message): number {
    if (message.expectedFence !== this.#lastFence)
      throw new FencedError(`the fence is ${this.#lastFence}, not ${message.expectedFence}`);
    if (message.expectedLast !== undefined && message.expectedLast !== this.#lastSequence)
      throw new FencedError(`the log ends at ${this.#lastSequence}, not ${message.expectedLast}`);
    const sequence = this.#lastSequence + 1;
    if (message.kind === 'fence') this.#lastFence = sequence;
    if (message.id !== undefined) this.#ids.set(sequence, message.id);
    // A copy: what the sender does with its bytes afterwards must not reach the log.
    this.#keep({ kind: message.kind, sequence, data: message.data.slice() });
    return sequence;
  }

  /** Stores a record that no broker wrote. */
  intrude(): void {
    this.#keep({ kind: 'foreign', sequence: this.#lastSequence + 1 });
  }

  at(sequence: number): LogRecord | undefined {
    return this.#records.get(sequence);
  }

  /** `Nats-Msg-Id` of a record. */
  idAt(sequence: number): string | undefined {
    return this.#ids.get(sequence);
  }

  /** Removes every record before `sequence`. The newest fence must stay. */
  purge(sequence: number): void {
    if (sequence > this.#lastFence)
      throw new Error(`a purge up to ${sequence} takes the newest fence with it`);
    for (const known of this.#records.keys()) {
      if (known >= sequence) break;
      this.drop(known);
    }
  }

  /** Tears a hole, as a damaged disk would. */
  drop(sequence: number): void {
    const record = this.#records.get(sequence);
    if (record !== undefined) this.#bytes -= bytesOf(record);
    this.#records.delete(sequence);
  }

  /** The same records in a stream of their own. */
  copy(): VirtualStream {
    const twin = new VirtualStream(undefined, this.#bytesMax);
    for (const [sequence, record] of this.#records) twin.#records.set(sequence, record);
    twin.#lastSequence = this.#lastSequence;
    twin.#lastFence = this.#lastFence;
    twin.#bytes = this.#bytes;
    return twin;
  }

  #keep(record: LogRecord): void {
    this.#lastSequence = record.sequence;
    this.#records.set(record.sequence, record);
    this.#bytes += bytesOf(record);
    this.#onStored(record);
  }
}

export interface VirtualLogOptions {
  readonly stream: VirtualStream;
  /** The network's time: a message under way does not care whether its sender lives. */
  readonly world: Clock;
  /** The sender's own time. */
  readonly process: Clock;
  readonly network: Network;
}

/** No answer came in time: the outcome is unknown. */
export class NoAnswerError extends Error {
  constructor() {
    super('no answer came in time');
    this.name = 'NoAnswerError';
  }
}

const answerTimeoutMs = 5_000;

/** The log as one process reaches it, over a network that may lose, double and delay. */
export class VirtualLog implements PartitionLog {
  readonly #options: VirtualLogOptions;

  constructor(options: VirtualLogOptions) {
    this.#options = options;
  }

  async describe(): Promise<LogDescription> {
    await sleep(this.#options.process, 1);
    return this.#options.stream.describe();
  }

  raiseFence(fence: Uint8Array, expectedFence: number): Promise<number> {
    return this.#send({ kind: 'fence', data: fence, expectedFence });
  }

  async append(batch: Uint8Array, position: Position): Promise<number> {
    const message: Message = {
      kind: 'batch',
      data: batch,
      expectedFence: position.epoch,
      expectedLast: position.lastSequence,
      id: `${position.epoch}.${position.lastSequence}`,
    };
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#send(message);
      } catch (error) {
        if (!(error instanceof NoAnswerError)) throw error;
        await sleep(this.#options.process, Math.min(50 * attempt, 1_000));
      }
    }
  }

  async read(from: number, to: number, onRecord: (record: LogRecord) => void): Promise<void> {
    if (from > to) return;
    await sleep(this.#options.process, 1);
    for (let sequence = from; sequence <= to; sequence += 1) {
      const record = this.#options.stream.at(sequence);
      if (record === undefined) throw new LogGapError(`the log lacks record ${sequence}`);
      onRecord(record);
    }
  }

  async at(sequence: number): Promise<LogRecord | undefined> {
    await sleep(this.#options.process, 1);
    return this.#options.stream.at(sequence);
  }

  /** A request as others are: it may get lost, be answered by nobody, and arrive late or twice. */
  purge(sequence: number): Promise<void> {
    const { stream, world, process, network } = this.#options;
    const { arrivalsMs, answerMs } = network.fate();
    return new Promise((resolve, reject) => {
      const cancelTimeout = process.after(answerTimeoutMs, () => reject(new NoAnswerError()));
      for (const arrivalMs of arrivalsMs) {
        world.after(arrivalMs, () => {
          stream.purge(sequence);
          if (answerMs === undefined) return;
          process.after(answerMs, () => {
            cancelTimeout();
            resolve();
          });
        });
      }
    });
  }

  #send(message: Message): Promise<number> {
    const { stream, world, process, network } = this.#options;
    const { arrivalsMs, answerMs } = network.fate();
    return new Promise((resolve, reject) => {
      const cancelTimeout = process.after(answerTimeoutMs, () => reject(new NoAnswerError()));
      for (const arrivalMs of arrivalsMs) {
        world.after(arrivalMs, () => {
          const answer = answerOf(stream, message);
          if (answerMs === undefined) return;
          process.after(answerMs, () => {
            cancelTimeout();
            if (typeof answer === 'number') resolve(answer);
            else reject(answer);
          });
        });
      }
    });
  }
}

function answerOf(stream: VirtualStream, message: Message): number | FencedError {
  try {
    return stream.store(message);
  } catch (error) {
    if (!(error instanceof FencedError)) throw error;
    const place = (message.expectedLast ?? 0) + 1;
    return message.id !== undefined && stream.idAt(place) === message.id ? place : error;
  }
}

const bytesOf = (record: LogRecord): number => (record.kind === 'foreign' ? 0 : record.data.length);
