import { randomUUID } from 'node:crypto';
import type { Streams, Subjects } from '#shared/protocol/subjects.ts';
import { type Clock, sleep } from '#shared/runtime/clock.ts';
import type { Log } from '#shared/runtime/log.ts';
import {
  DiscardPolicy,
  InvalidArgumentError,
  JetStreamApiError,
  type JetStreamManager,
  type JsMsg,
  type MsgHdrs,
  type Nats,
  type StoredMsg,
  RetentionPolicy,
  StorageType,
  headers,
} from '#shared/runtime/nats.ts';
import { identityOf, keepIdentity } from '#shared/runtime/stream-identity.ts';
import { withRoom } from '#shared/runtime/stream-room.ts';
import {
  FencedError,
  LogGapError,
  type LogDescription,
  type LogRecord,
  type PartitionLog,
  type Position,
} from './partition-log.ts';

export interface JetStreamLogOptions {
  readonly nats: Nats;
  readonly subjects: Subjects;
  readonly streams: Streams;
  readonly partition: number;
  readonly replicas: number;
  readonly bytesMax: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** nats-server's error codes for an expectation that does not hold (`errors.json` in its source). */
const wrongLastSequence = new Set([10_070, 10_071, 10_164, 10_193]);

/** Marks what a broker wrote; what nats-server writes for others has no headers. */
const writtenBy = 'Trivet-Broker';

function brokerHeaders(): MsgHdrs {
  const made = headers();
  made.set(writtenBy, '1');
  return made;
}

/** How long one try of an append waits for its answer. */
const appendTimeoutMs = 5_000;

/** The log of a partition as a JetStream stream: one subject for batches, one for fences. */
export class JetStreamLog implements PartitionLog {
  readonly #options: JetStreamLogOptions;
  readonly #manager: JetStreamManager;
  readonly #stream: string;
  readonly #logSubject: string;
  readonly #fenceSubject: string;

  private constructor(options: JetStreamLogOptions, manager: JetStreamManager) {
    this.#options = options;
    this.#manager = manager;
    this.#stream = options.streams.log(options.partition);
    this.#logSubject = options.subjects.log(options.partition);
    this.#fenceSubject = options.subjects.fence(options.partition);
  }

  /** Opens the stream, making it when it is not there, and reads back what the server accepted. */
  static async open(options: JetStreamLogOptions): Promise<JetStreamLog> {
    const log = new JetStreamLog(options, await options.nats.manager());
    await log.#ensureStream();
    return log;
  }

  async describe(): Promise<LogDescription> {
    const info = await this.#manager.streams.info(this.#stream);
    return {
      identity: identityOf(info),
      firstSequence: info.state.first_seq,
      lastSequence: info.state.last_seq,
      lastFence: (await this.#newestFence())?.seq ?? 0,
      bytes: info.state.bytes,
      bytesMax: info.config.max_bytes,
    };
  }

  raiseFence(fence: Uint8Array, expectedFence: number): Promise<number> {
    // Of this very call: two brokers may raise the same fence over the same one.
    const msgID = `fence.${randomUUID()}`;
    return this.#untilAnswered(() => this.#publishFence(fence, expectedFence, msgID));
  }

  append(batch: Uint8Array, position: Position): Promise<number> {
    return this.#untilAnswered(() => this.#publish(batch, position));
  }

  async #untilAnswered(publish: () => Promise<number>): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await publish();
      } catch (error) {
        if (error instanceof FencedError) throw error;
        // The connection does not even send it (it is larger than `max_payload`), and never will.
        if (error instanceof InvalidArgumentError) throw error;
        if (error instanceof JetStreamApiError && error.code !== serverNotReady) throw error;
        if (this.#options.nats.connection.isClosed()) throw error;
        const { partition, log } = this.#options;
        if (await this.#isGone(error))
          log.error(
            { stream: this.#stream, partition, attempt },
            'the stream of the log is not there: nothing is taken in until it is restored (docs/operations.md)',
          );
        else log.warn({ err: error, partition, attempt }, 'the log does not answer, asking again');
        await sleep(this.#options.clock, Math.min(50 * attempt, 1_000));
      }
    }
  }

  /** Nobody hears an append where there is no stream; the library takes that for a NATS without JetStream. */
  async #isGone(error: unknown): Promise<boolean> {
    // The library does not export the class.
    if (!(error instanceof Error && error.name === 'JetStreamNotEnabled')) return false;
    return this.#manager.streams.info(this.#stream).then(
      () => false,
      (unknown: unknown) => unknown instanceof JetStreamApiError && unknown.status === 404,
    );
  }

  async #publishFence(fence: Uint8Array, expectedFence: number, msgID: string): Promise<number> {
    try {
      const ack = await this.#options.nats.js.publish(this.#fenceSubject, fence, {
        msgID,
        timeout: appendTimeoutMs,
        headers: brokerHeaders(),
        expect: { lastSubjectSequence: expectedFence },
      });
      return ack.seq;
    } catch (error) {
      if (!isWrongSequence(error)) throw error;
      // The one that stands there may be this very one, whose answer was lost.
      const last = await this.#newestFence();
      if (last?.header.get('Nats-Msg-Id') === msgID) return last.seq;
      throw new FencedError('another broker raised a fence first', { cause: error });
    }
  }

  async #publish(batch: Uint8Array, position: Position): Promise<number> {
    const msgID = `${position.epoch}.${position.lastSequence}`;
    try {
      const ack = await this.#options.nats.js.publish(this.#logSubject, batch, {
        msgID,
        timeout: appendTimeoutMs,
        headers: brokerHeaders(),
        expect: {
          lastSequence: position.lastSequence,
          lastSubjectSequence: position.epoch,
          lastSubjectSequenceSubject: this.#fenceSubject,
        },
      });
      return ack.seq;
    } catch (error) {
      if (!isWrongSequence(error)) throw error;
      // nats-server judges the expected sequence before it looks for a repeated id (seen with 2.15.2): an append whose
      // answer was lost is refused when it is repeated. The record in its place says whether it is this very one.
      const place = position.lastSequence + 1;
      if ((await this.#idAt(place)) === msgID) return place;
      throw new FencedError('the log has another end or another owner', { cause: error });
    }
  }

  /** `Nats-Msg-Id` of a record, undefined when there is none. Asked of the stream's leader, never of a replica. */
  async #idAt(sequence: number): Promise<string | undefined> {
    return (await this.#messageAt(sequence))?.header.get('Nats-Msg-Id');
  }

  #messageAt(sequence: number): Promise<StoredMsg | null> {
    return this.#manager.streams.getMessage(this.#stream, { seq: sequence }).catch((error: unknown) => {
      if (error instanceof JetStreamApiError && error.status === 404) return null;
      throw error;
    });
  }

  async read(from: number, to: number, onRecord: (record: LogRecord) => void): Promise<void> {
    if (from > to) return;
    const consumer = await this.#options.nats.js.consumers.get(this.#stream, { opt_start_seq: from });
    const messages = await consumer.consume({ max_messages: 256 });
    let expected = from;
    for await (const message of messages) {
      if (message.seq !== expected)
        throw new LogGapError(`${this.#stream} lacks record ${expected}: the next one is ${message.seq}`);
      onRecord(this.#recordOf(message));
      if (message.seq >= to) break;
      expected = message.seq + 1;
    }
    await messages.close();
  }

  async at(sequence: number): Promise<LogRecord | undefined> {
    if (sequence < 1) return undefined;
    const message = await this.#messageAt(sequence);
    if (message === null) return undefined;
    const { seq, subject, data, header } = message;
    return this.#recordOf({ seq, subject, data, headers: header });
  }

  async purge(sequence: number): Promise<void> {
    await this.#manager.streams.purge(this.#stream, { seq: sequence });
  }

  #recordOf(message: Pick<JsMsg, 'seq' | 'subject' | 'data' | 'headers'>): LogRecord {
    const sequence = message.seq;
    if (message.headers?.has(writtenBy) !== true) return { kind: 'foreign', sequence };
    return { kind: message.subject === this.#fenceSubject ? 'fence' : 'batch', sequence, data: message.data };
  }

  async #ensureStream(): Promise<void> {
    const { bytesMax, replicas } = this.#options;
    const wanted = {
      name: this.#stream,
      subjects: [this.#logSubject, this.#fenceSubject],
      storage: StorageType.File,
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      num_replicas: replicas,
      max_bytes: bytesMax,
      max_age: 0,
      // Long enough for every retry of an append, over a restart of the server.
      duplicate_window: 120_000_000_000,
      allow_direct: true,
    };
    const known = await this.#manager.streams.info(this.#stream).catch((error: unknown) => {
      if (error instanceof JetStreamApiError && error.status === 404) return undefined;
      throw error;
    });
    const sized = { name: this.#stream, bytesMax, setting: 'TRIVET_LOG_BYTES_MAX' };
    const info = known ?? (await withRoom(sized, () => this.#manager.streams.add(wanted)));
    await keepIdentity(this.#manager, info);
    // A full log takes no fence, so a larger limit is the way out. It is never lowered: what is there must stay.
    if (info.config.max_bytes > 0 && info.config.max_bytes < bytesMax)
      await withRoom(sized, () => this.#manager.streams.update(this.#stream, { max_bytes: bytesMax }));
    for (const name of ['storage', 'discard', 'max_age'] as const) {
      if (info.config[name] !== wanted[name]) {
        throw new Error(
          `stream ${this.#stream} has ${name} ${String(info.config[name])}, it must be ${String(wanted[name])}`,
        );
      }
    }
  }

  #newestFence(): Promise<StoredMsg | null> {
    return this.#manager.streams
      .getMessage(this.#stream, { last_by_subj: this.#fenceSubject })
      .catch((error: unknown) => {
        if (error instanceof JetStreamApiError && error.status === 404) return null;
        throw error;
      });
  }
}

/** "JetStream system temporarily unavailable": the server is there and its JetStream is still coming up. */
const serverNotReady = 10_008;

const isWrongSequence = (error: unknown): boolean =>
  error instanceof JetStreamApiError && wrongLastSequence.has(error.code);
